//! Storage lets nothing through but exactly what was signed.

use std::time::Duration;

use reqwest::StatusCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use filemill_server::Place;
use filemill_server::storage::{ObjectKey, Storage, StorageConfig};

use super::{LIMIT, Mill, objects, sha256, until};

#[tokio::test]
async fn a_put_of_another_length_content_or_without_its_headers_is_refused_and_leaves_nothing() {
    let mill = Mill::start().await;
    let before = objects(&mill);
    let sample = mill.upload(1);
    let put = mill.open(&sample.open).await.header.unwrap();
    assert!(put.expires_in_s <= 900);
    assert_eq!(put.headers.keys().map(String::as_str).collect::<Vec<_>>(), ["content-length", "x-amz-checksum-sha256"]);

    let same_length = vec![b'x'; sample.header.len()];
    assert_eq!(mill.put(&put, same_length).await.status(), StatusCode::BAD_REQUEST);
    let longer = [sample.header.as_slice(), b"x"].concat();
    for (body, checksum) in [
        (longer.clone(), Some(put.headers["x-amz-checksum-sha256"].clone())),
        (
            longer.clone(),
            Some(data_encoding::BASE64.encode(&data_encoding::HEXLOWER.decode(sha256(&longer).as_bytes()).unwrap())),
        ),
        (sample.header.clone(), None),
        (Vec::new(), Some(put.headers["x-amz-checksum-sha256"].clone())),
    ] {
        let mut request = mill.http.put(&put.url).body(body);
        if let Some(checksum) = checksum {
            request = request.header("x-amz-checksum-sha256", checksum);
        }
        assert_eq!(request.send().await.unwrap().status(), StatusCode::FORBIDDEN);
    }
    // Without a length: chunked.
    let stream = reqwest::Body::wrap_stream(futures::stream::iter([Ok::<_, std::io::Error>(sample.header.clone())]));
    let chunked =
        mill.http.put(&put.url).header("x-amz-checksum-sha256", &put.headers["x-amz-checksum-sha256"]).body(stream);
    assert_eq!(chunked.send().await.unwrap().status(), StatusCode::FORBIDDEN);
    // The URL is for a PUT of this object, and for nothing else.
    assert_eq!(mill.http.get(&put.url).send().await.unwrap().status(), StatusCode::FORBIDDEN);
    assert_eq!(mill.http.delete(&put.url).send().await.unwrap().status(), StatusCode::FORBIDDEN);
    let elsewhere = put.url.replace("/header/", "/0/");
    let mut request = mill.http.put(elsewhere).body(sample.header.clone());
    for (name, value) in &put.headers {
        request = request.header(name, value);
    }
    assert_eq!(request.send().await.unwrap().status(), StatusCode::FORBIDDEN);
    assert_eq!(objects(&mill), before);

    // A refused PUT does not harm what is there.
    assert_eq!(mill.put(&put, sample.header.clone()).await.status(), StatusCode::OK);
    assert_eq!(mill.put(&put, vec![b'y'; sample.header.len()]).await.status(), StatusCode::BAD_REQUEST);
    let key = format!("uploads/{}/header/{}", sample.open.id, sample.open.header_sha256);
    let path = mill.dir.path().join("objects/filemill").join(key);
    assert_eq!(std::fs::read(path).unwrap(), sample.header);
    mill.stop().await;
}

#[tokio::test]
async fn a_refusal_repeats_little_of_what_was_sent() {
    let mill = Mill::start().await;
    let sample = mill.upload(1);
    let put = mill.open(&sample.open).await.header.unwrap();
    let odd = |bytes| {
        let mut request =
            mill.http.put(&put.url).body(sample.header.clone()).header("x-amz-copy-source", "\"".repeat(bytes));
        for (name, value) in &put.headers {
            request = request.header(name, value);
        }
        request.send()
    };
    let refused = odd(12_000).await.unwrap();
    assert_eq!(refused.status(), StatusCode::BAD_REQUEST);
    let document = refused.text().await.unwrap();
    assert!(document.contains("<Code>InvalidArgument</Code>") && document.len() < 512, "{document}");
    // A head that Filemill would not send is not looked at.
    let refused = odd(40_000).await.unwrap();
    assert_eq!(refused.status(), StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    assert_eq!(refused.headers()["connection"], "close");
    assert_eq!(refused.bytes().await.unwrap().len(), 0);
    assert_eq!(mill.put(&put, sample.header.clone()).await.status(), StatusCode::OK);
    mill.stop().await;
}

#[tokio::test]
async fn an_expired_url_is_refused() {
    let mill = Mill::start_with(|config| {
        if let Place::Embedded(embedded) = &mut config.place {
            embedded.lifetime = Duration::from_secs(1);
        }
    })
    .await;
    let sample = mill.upload(1);
    let put = mill.open(&sample.open).await.header.unwrap();
    assert_eq!(put.expires_in_s, 1);
    until("the URL expires", async || mill.put(&put, sample.header.clone()).await.status() == StatusCode::FORBIDDEN)
        .await;
    mill.stop().await;
}

#[tokio::test]
async fn a_put_that_is_cut_short_leaves_no_object() {
    let mill = Mill::start().await;
    let before = objects(&mill);
    let body = vec![7; 3 << 20];
    let mut sample = mill.upload(1);
    sample.open.header_length = body.len() as u64;
    sample.open.header_sha256 = sha256(&body);
    let put = mill.open(&sample.open).await.header.unwrap();
    let url: reqwest::Url = put.url.parse().unwrap();
    let mut stream = TcpStream::connect((url.host_str().unwrap(), url.port().unwrap())).await.unwrap();
    let mut head = format!("PUT {}?{} HTTP/1.1\r\nhost: {}\r\n", url.path(), url.query().unwrap(), url.authority());
    for (name, value) in &put.headers {
        head += &format!("{name}: {value}\r\n");
    }
    stream.write_all(format!("{head}\r\n").as_bytes()).await.unwrap();
    stream.write_all(&body[..2 << 20]).await.unwrap();
    let incoming = mill.dir.path().join("objects/.incoming");
    let arriving = || std::fs::read_dir(&incoming).unwrap().count();
    until("the body begins to arrive", async || arriving() == 1).await;
    drop(stream);
    until("what arrived is removed", async || arriving() == 0).await;
    assert_eq!(objects(&mill), before);

    // And whole, it is stored.
    assert_eq!(mill.put(&put, body).await.status(), StatusCode::OK);
    assert_eq!(objects(&mill).len(), before.len() + 1);
    mill.stop().await;
}

#[tokio::test]
async fn a_key_that_leaves_the_bucket_is_refused_however_it_is_written() {
    let mill = Mill::start().await;
    // Everything outside of the bucket that a key might reach.
    let secret = mill.dir.path().join("objects/other");
    std::fs::create_dir(&secret).unwrap();
    std::fs::write(secret.join("secret"), "planted").unwrap();
    let storage: reqwest::Url = mill.server.addresses().storage.parse().unwrap();
    let paths = [
        "/filemill/a/../../other/secret",
        "/filemill/../other/secret",
        "/filemill/%2e%2e/other/secret",
        "/filemill/a/%2E%2E/%2e./other/secret",
        "/filemill/a/..%2f..%2fother%2fsecret",
        "/filemill/..%5cother%5csecret",
        "/filemill//etc/passwd",
        "/filemill/%2fetc%2fpasswd",
        "/filemill/./a",
        "/filemill/.incoming",
        "/../secrets.json",
        "/filemill/../../secrets.json",
        "/.incoming/0",
    ];
    for path in paths {
        for method in ["GET", "PUT", "DELETE"] {
            let signed = raw(&mill, &storage, method, path).await;
            assert!(!signed.contains("planted"), "{method} {path}: {signed}");
            let status: u16 = signed.split(' ').nth(1).unwrap().parse().unwrap();
            assert!((400..500).contains(&status), "{method} {path}: {signed}");
        }
    }
    assert_eq!(std::fs::read(secret.join("secret")).unwrap(), b"planted");
    assert!(!mill.dir.path().join("objects/filemill/a").exists());
    mill.stop().await;
}

/// Sends a request for exactly this path, signed for it with the server's own credentials, and returns the answer's
/// beginning.
async fn raw(mill: &Mill, storage: &reqwest::Url, method: &str, path: &str) -> String {
    let secrets: serde_json::Value =
        serde_json::from_slice(&std::fs::read(mill.dir.path().join("secrets.json")).unwrap()).unwrap();
    let url = super::sign::presign(
        method,
        storage.as_str().trim_end_matches('/'),
        path,
        secrets["access_key_id"].as_str().unwrap(),
        secrets["secret_access_key"].as_str().unwrap(),
    );
    let target = url.strip_prefix(storage.as_str().trim_end_matches('/')).unwrap();
    let mut stream = TcpStream::connect((storage.host_str().unwrap(), storage.port().unwrap())).await.unwrap();
    let request = format!(
        "{method} {target} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\ncontent-length: 1\r\nx-amz-checksum-sha256: {}\r\n\r\nx",
        storage.authority(),
        data_encoding::BASE64.encode(&data_encoding::HEXLOWER.decode(sha256(b"x").as_bytes()).unwrap()),
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // A server that refuses early may reset the connection on the unread byte; what came before counts.
    let _ = tokio::time::timeout(LIMIT, stream.read_to_end(&mut answer)).await.unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn many_puts_of_one_object_at_once_end_in_one_whole_object() {
    let mill = Mill::start().await;
    let body = vec![5; 1 << 20];
    let mut sample = mill.upload(1);
    sample.open.header_length = body.len() as u64;
    sample.open.header_sha256 = sha256(&body);
    let put = mill.open(&sample.open).await.header.unwrap();
    let answers = futures::future::join_all((0..16).map(|_| mill.put(&put, body.clone()))).await;
    assert!(answers.iter().all(|answer| answer.status() == StatusCode::OK));
    let key = format!("uploads/{}/header/{}", sample.open.id, sample.open.header_sha256);
    assert_eq!(std::fs::read(mill.dir.path().join("objects/filemill").join(key)).unwrap(), body);
    mill.stop().await;
}

#[tokio::test]
async fn listing_and_deleting_work_through_the_sdk() {
    let mill = Mill::start().await;
    let storage = Storage::open(own_storage(&mill)).await.unwrap();
    let upload = "ab".repeat(16);
    let body = b"a chunk".to_vec();
    let digest = data_encoding::HEXLOWER.decode(sha256(&body).as_bytes()).unwrap();
    let mut keys = Vec::new();
    for sequence in 0..1100 {
        keys.push(ObjectKey::chunk(&upload, sequence, &sha256(&body)).unwrap());
    }
    for batch in keys.chunks(50) {
        let stored = futures::future::join_all(batch.iter().map(|key| storage.put(key, body.clone(), &digest))).await;
        assert!(stored.into_iter().all(|put| put.is_ok()));
    }
    let mut listed = Vec::new();
    let mut after = None;
    loop {
        let page = storage.list(filemill_server::storage::Area::Uploads, after).await.unwrap();
        assert!(page.objects.len() <= 1000);
        listed.extend(page.objects.into_iter().map(|object| object.key));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    keys.sort();
    assert_eq!(listed, keys);
    storage.delete(&keys).await.unwrap();
    // Deleting what is gone is a success.
    storage.delete(&keys[..1]).await.unwrap();
    assert!(!mill.dir.path().join("objects/filemill/uploads").exists(), "empty folders are removed");
    mill.stop().await;
}

fn own_storage(mill: &Mill) -> StorageConfig {
    let secrets: serde_json::Value =
        serde_json::from_slice(&std::fs::read(mill.dir.path().join("secrets.json")).unwrap()).unwrap();
    let text = |name: &str| secrets[name].as_str().unwrap().to_owned();
    StorageConfig {
        bucket: "filemill".to_owned(),
        endpoint: Some(mill.server.addresses().storage.parse().unwrap()),
        region: Some("us-east-1".to_owned()),
        credentials: Some(filemill_server::storage::StorageCredentials {
            access_key_id: text("access_key_id"),
            secret_access_key: text("secret_access_key"),
        }),
        create_bucket: false,
        lifetime: Duration::from_secs(900),
    }
}

#[tokio::test]
#[ignore = "a measurement: cargo test --release -- --ignored --nocapture presigning"]
async fn presigning_costs_little() {
    let mill = Mill::start().await;
    let storage = Storage::open(own_storage(&mill)).await.unwrap();
    let (upload, digest) = ("ab".repeat(16), "cd".repeat(32));
    let rounds = 20_000_u32;
    let begin = std::time::Instant::now();
    for sequence in 0..rounds {
        let signer = storage.signer().await.unwrap();
        let key = ObjectKey::chunk(&upload, sequence, &digest).unwrap();
        signer.put(&key, 8 << 20, &digest).unwrap();
    }
    eprintln!("PUT: {:?} each", begin.elapsed() / rounds);
    mill.stop().await;
}
