//! What the fake's processor makes of an upload.

use filemill_api::Outcome;
use filemill_seal::{
    ChunkOpener, Decompressor, Digest, EngineInput, Failure, Header, Report, ResultBody, SealedHeader, Sha256, Verdict,
    seal_result,
};

use super::{Cheat, Inner};

impl Inner {
    /// The last word on each file of an upload that is stored.
    pub(super) fn analyse(&self, id: &str) -> Vec<(u32, Outcome, Vec<u8>)> {
        let upload = &self.uploads[id];
        let sealed = SealedHeader::from_bytes(upload.header.clone().unwrap()).unwrap();
        let header = Header::open(&sealed, std::slice::from_ref(&self.pool_identity)).unwrap();
        assert_eq!(
            header.tasks[0].releases.iter().map(Digest::to_string).collect::<Vec<_>>(),
            [upload.open.release.as_str()]
        );
        let layout = header.layout().unwrap();
        assert_eq!(layout.chunk_count(), upload.open.chunks);
        let opener = ChunkOpener::new(&header.key, header.upload, sealed.digest());
        let mut hashes: Vec<Sha256> = header.files.iter().map(|_| Sha256::new()).collect();
        let mut results = Vec::new();
        for sequence in 0..layout.chunk_count() {
            let object = upload.objects[&(sequence, upload.stored[&sequence].clone())].clone();
            let shape = layout.shape(sequence).unwrap();
            let chunk = opener.open(&shape, object, &mut Decompressor::new()).unwrap();
            for piece in layout.pieces(sequence) {
                hashes[piece.index as usize].update(&chunk.data()[piece.in_chunk]);
            }
            for (index, verdict) in layout.ends_in(sequence).zip(chunk.verdicts()) {
                results.push(self.result(
                    &header,
                    sealed.digest(),
                    index,
                    verdict,
                    hashes[index as usize].clone().finish(),
                ));
            }
        }
        results.sort_by_key(|(index, ..)| *index);
        results
    }

    fn result(
        &self,
        header: &Header,
        digest: Digest,
        index: u32,
        verdict: &Verdict,
        sha256: Digest,
    ) -> (u32, Outcome, Vec<u8>) {
        let length = header.files[index as usize].length;
        let intact = match verdict {
            Verdict::Intact(said) => {
                assert_eq!(*said, sha256, "an intact file has another hash");
                true
            }
            Verdict::Void(_) => false,
        };
        let report = intact.then(|| Report {
            artifacts: self.artifacts.clone(),
            description: self.description.as_ref().map(|(document, _)| Digest::of(document.as_bytes())),
            summary: format!("{length} bytes"),
            ..Report::from_json(format!("{{\"bytes\":{length}}}")).unwrap()
        });
        let release = match self.faults.cheat {
            Cheat::OtherRelease => Digest::of(b"another"),
            _ => header.tasks[0].releases[0],
        };
        let body = ResultBody {
            upload: header.upload,
            task: 0,
            index,
            header: digest,
            release: Some(release),
            outcome: if intact { filemill_seal::Outcome::Succeeded } else { filemill_seal::Outcome::Void },
            input: intact.then_some(EngineInput { length, sha256 }),
            report,
            failure: (!intact).then(|| Failure { kind: "void".into(), message: String::new() }),
            log: self.faults.log.clone(),
            resources: Default::default(),
        };
        let key = match self.faults.cheat {
            Cheat::Forge => filemill_seal::DataKey::random(),
            _ => header.key.clone(),
        };
        let outcome = if intact { Outcome::Succeeded } else { Outcome::Void };
        (index, outcome, seal_result(&body, &key, &header.uploader).unwrap())
    }
}
