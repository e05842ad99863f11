//! What the fake's processor makes of an upload.

use filemill_api::{JobOutcome, Outcome};
use filemill_seal::{
    BATCH_USUAL_BYTES, ChunkOpener, DataKey, Decompressor, Digest, EngineInput, Failure, Format, Header, Report,
    ResultBody, SealedHeader, Sha256, Verdict, seal_batch, seal_result,
};

use super::{Cheat, Inner};

/// Results that are sealed together: in format 1 one, in format 2 any number.
pub(crate) struct Batch {
    /// What the server says that it has.
    pub(crate) jobs: Vec<JobOutcome>,
    /// What is in it.
    pub(crate) bodies: Vec<ResultBody>,
}

/// What is done to batches before they are sealed.
pub(crate) type Twist = fn(&mut Vec<Batch>);

impl Inner {
    /// The last word on each file of an upload that is stored, as it is sealed.
    pub(super) fn analyse(&self, id: &str) -> Vec<(Vec<JobOutcome>, Vec<u8>)> {
        let upload = &self.uploads[id];
        let sealed = SealedHeader::from_bytes(upload.header.clone().unwrap()).unwrap();
        let header = Header::open(&sealed, std::slice::from_ref(&self.pool_identity)).unwrap();
        assert_eq!(u64::from(upload.open.format), header.format.number());
        let named: Vec<_> = upload.open.tasks.iter().map(|task| task.releases.clone()).collect();
        let of_header = header.tasks.iter().map(|task| task.releases.iter().map(Digest::to_string).collect::<Vec<_>>());
        assert_eq!(named, of_header.collect::<Vec<_>>());
        let layout = header.layout().unwrap();
        assert_eq!(layout.chunk_count(), upload.open.chunks);
        let opener = ChunkOpener::new(&header.key, header.upload, sealed.digest());
        let mut hashes: Vec<Sha256> = header.files.iter().map(|_| Sha256::new()).collect();
        let mut bodies = Vec::new();
        for sequence in 0..layout.chunk_count() {
            let object = upload.objects[&(sequence, upload.stored[&sequence].clone())].clone();
            let shape = layout.shape(sequence).unwrap();
            let chunk = opener.open(&shape, object, &mut Decompressor::new()).unwrap();
            for piece in layout.pieces(sequence) {
                hashes[piece.index as usize].update(&chunk.data()[piece.in_chunk]);
            }
            for (index, verdict) in layout.ends_in(sequence).zip(chunk.verdicts()) {
                let sha256 = hashes[index as usize].clone().finish();
                bodies.push(self.body(&header, sealed.digest(), index, verdict, sha256));
            }
        }
        bodies.sort_by_key(|body| body.index);
        self.seal(&header, bodies)
    }

    fn seal(&self, header: &Header, bodies: Vec<ResultBody>) -> Vec<(Vec<JobOutcome>, Vec<u8>)> {
        let key = match self.faults.cheat {
            Cheat::Forge => DataKey::random(),
            _ => header.key.clone(),
        };
        let header = Header { key, ..header.clone() };
        // A processor closes a batch before it is too long.
        let is_large =
            self.artifacts.iter().map(|artifact| artifact.data.len()).sum::<usize>() > BATCH_USUAL_BYTES / 64;
        let at_once = match header.format {
            Format::One => 1,
            Format::Two if is_large => 1,
            Format::Two => self.faults.batch_of.unwrap_or(64),
        };
        let outcome = |body: &ResultBody| match body.outcome {
            filemill_seal::Outcome::Void => Outcome::Void,
            _ => Outcome::Succeeded,
        };
        let batch = |bodies: &[ResultBody]| Batch {
            jobs: bodies.iter().map(|body| JobOutcome { job: body.index, outcome: outcome(body) }).collect(),
            bodies: bodies.to_vec(),
        };
        let mut batches: Vec<Batch> = bodies.chunks(at_once).map(batch).collect();
        if let Some(twist) = self.faults.twist {
            twist(&mut batches);
        }
        let seal = |batch: &Batch| match header.format {
            Format::One => seal_result(&batch.bodies[0], &header.key, &header.uploader).unwrap(),
            Format::Two => seal_batch(&batch.bodies, &header).unwrap(),
        };
        let mut sealed: Vec<_> = batches.iter().map(|batch| (batch.jobs.clone(), seal(batch))).collect();
        if self.faults.cheat == Cheat::Swap && sealed.len() > 1 {
            let (first, second) = (sealed[0].1.clone(), sealed[1].1.clone());
            sealed[0].1 = second;
            sealed[1].1 = first;
        }
        sealed
    }

    fn body(&self, header: &Header, digest: Digest, index: u32, verdict: &Verdict, sha256: Digest) -> ResultBody {
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
        ResultBody {
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
        }
    }
}
