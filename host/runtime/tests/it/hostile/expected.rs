//! How each guest ends. The match has no arm for what is not in it: a guest that is added without a line here does not
//! compile.

use filemill_guests::Guest;
use filemill_runtime::{Outcome, Rejection};

/// How a guest ends, and what is said about it (a part of the message).
pub(super) enum Ends {
    /// This host does not install it.
    Refused(&'static str),
    /// Already when it is asked what it is.
    Described(Outcome, &'static str),
    /// What it says about itself breaks the contract in this part.
    DescribedBadly(&'static str),
    /// When it runs over ten bytes.
    Run(Outcome, &'static str),
    /// What it does is allowed.
    Succeeds,
}

pub(super) fn ends(guest: Guest) -> Ends {
    use Ends::{Described, DescribedBadly, Refused, Run, Succeeds};
    use Outcome::{BadReport, OverHostCalls, OverLog, OverMemory, OverOutput, Rejected, TimedOut, Trapped};

    const CPU: &str = "used up its CPU time of 100ms";
    const CLOCK: &str = "used up its time on the clock of 2s";
    const MEMORY: &str = "wanted more than 16777216 bytes of memory";
    const LOG_LINES: &str = "logged more than 100 lines";
    const CALLS: &str = "called the host more than 5000 times";
    const STACK: &str = "calls nest too deeply for its stack";
    const GAVE_UP: &str = "gave up (`unreachable`)";
    const BROKEN: &str = "passed a broken value";
    const RETURNED_TOO_MUCH: &str = "returned more than it may";
    const HANDED_TOO_MUCH: &str = "handed the host more at once than it may";
    const HANDLE: &str = "handle";
    const HANDLES: &str = "store handle limit exceeded";
    const DEADLOCK: &str = "deadlock detected";

    match guest {
        // Time.
        Guest::LoopsInAnalyze
        | Guest::LoopsInStart
        | Guest::LoopsInStartUnderContract2
        | Guest::LoopsInItsAllocator
        | Guest::LoopsAfterProgress
        | Guest::FillsItsMemory
        | Guest::TailCallsForEver
        | Guest::LoopsInACallback
        | Guest::LoopsAfterItsReturn
        | Guest::YieldsForEver
        | Guest::YieldsInALoop
        | Guest::PollsForEver
        | Guest::ChurnsStreams
        | Guest::ChurnsWaitableSets => Run(TimedOut, CPU),
        Guest::WaitsForAnEndItHoldsUp | Guest::WaitsForAnArtifactItDoesNotWrite => Run(TimedOut, CLOCK),
        Guest::LoopsInDescribe | Guest::LoopsInDescribeUnderContract2 => Described(TimedOut, CPU),

        // Memory, and what else there is only so much of.
        Guest::GrowsMemory
        | Guest::GrowsManyMemories
        | Guest::GrowsMemoryUnderContract2
        | Guest::DeclaresMuchMemory => Run(OverMemory, MEMORY),
        // A table of its pool's size is all it gets.
        Guest::GrowsTables => Run(TimedOut, CPU),
        Guest::DeclaresALargeTable
        | Guest::DeclaresManyMemories
        | Guest::DeclaresManyTables
        | Guest::DeclaresManyInstances => Refused("wants more than a slot of this processor has"),
        Guest::Recurses | Guest::RecursesInStart | Guest::RecursesInACallback => Run(Trapped, STACK),
        Guest::OverflowsItsOwnStack | Guest::LoadsPastTheMemory => Run(Trapped, "out of bounds memory access"),
        Guest::HoardsHandles
        | Guest::HoardsStreams
        | Guest::HoardsFutures
        | Guest::HoardsWaitableSets
        | Guest::HoardsSubtasks => Run(Trapped, HANDLES),
        Guest::RaisesBackpressureForEver => Run(Trapped, "backpressure"),
        Guest::BlocksInManyComponents => Run(Trapped, DEADLOCK),

        // Floods.
        Guest::FloodsHostCalls
        | Guest::DigestsForEver
        | Guest::DigestsAStreamForEver
        | Guest::ChurnsSubtasks
        | Guest::FloodsStreamReads
        | Guest::FloodsStreamWrites => Run(OverHostCalls, CALLS),
        Guest::FloodsLog => Run(OverLog, LOG_LINES),
        Guest::LogsALongLine | Guest::GivesUpAtLength => Run(OverLog, "too long"),
        Guest::FloodsLogInDescribe => Described(OverLog, LOG_LINES),
        Guest::FloodsFindings => Run(OverOutput, "handed out more than 1000 findings"),
        Guest::FindsTooMuch => Run(OverOutput, "handed out more than 65536 bytes of findings"),
        Guest::FindsAtLength
        | Guest::LogsAtLengthUnderContract2
        | Guest::NamesAnArtifactAtLength
        | Guest::ReturnsItsMemoryUnderContract2 => Run(OverOutput, HANDED_TOO_MUCH),
        Guest::ReturnsItsMemory | Guest::ReturnsAliasedArtifacts => Run(OverOutput, RETURNED_TOO_MUCH),
        Guest::DescribesAtLength | Guest::DescribesTenMib | Guest::DescribesAliasedLists => {
            Described(OverOutput, RETURNED_TOO_MUCH)
        }
        Guest::ReturnsALargeArtifact | Guest::StreamsAnArtifactWithoutEnd | Guest::StreamsItsMemory => {
            Run(OverOutput, "handed out more than 16384 bytes of artifacts")
        }
        Guest::ReturnsManyArtifacts | Guest::BeginsArtifactsWithoutEnd => {
            Run(OverOutput, "handed out more than 32 artifacts")
        }

        // Values and handles that it does not have.
        Guest::ForgesAList
        | Guest::ForgesAnAllocation
        | Guest::ReturnsNoText
        | Guest::ReturnsABadVariant
        | Guest::ReturnsFourGib
        | Guest::LogsPastTheMemory
        | Guest::LogsABadLevel
        | Guest::HashesWithABadAlgorithm => Run(Trapped, BROKEN),
        Guest::DescribesPastItsMemory => Described(Trapped, BROKEN),
        Guest::DropsTheInputTwice | Guest::ReadsWhatItDropped | Guest::DropsItsStreamTwice => Run(Trapped, HANDLE),
        Guest::ReadsAStreamPastItsMemory
        | Guest::WritesAStreamPastItsMemory
        | Guest::TakesTheWrongEndOfAStream
        | Guest::WaitsForAForgedSet
        | Guest::ReturnsABadCode
        | Guest::ReadsTwiceAtOnce
        | Guest::DropsAStreamWhileItReads
        | Guest::ReadsAfterTheStreamEnded
        | Guest::ReturnsTwice
        | Guest::ExitsWithoutAResult => Run(Trapped, ""),

        // Waiting for what cannot come.
        Guest::WaitsForNothing | Guest::BlocksOnNothing | Guest::WritesToItself => Run(Trapped, DEADLOCK),
        Guest::BlocksInDescribe => Described(Trapped, ""),

        // Breaking off.
        Guest::Traps | Guest::TrapsInStart | Guest::TrapsInAnArtifact => Run(Trapped, GAVE_UP),
        Guest::TrapsInDescribe => Described(Trapped, GAVE_UP),
        // It does when the file is empty.
        Guest::DividesByZero => Run(Trapped, GAVE_UP),
        Guest::GivesUpInWords | Guest::GivesUpInWordsUnderContract2 => {
            Run(Rejected(Rejection::Failed), "no luck\u{fffd}[2J")
        }
        Guest::Rejects => Run(Trapped, BROKEN),

        // Its input.
        Guest::ReadsNothing => Run(Trapped, "asked `read` for 0 bytes"),
        Guest::ReadsAStreamByOffset | Guest::ReadsByOffsetUnderContract2 => {
            Run(Trapped, "called `read-at` on a streaming input")
        }
        Guest::HashesTooLate | Guest::DigestsTooLate | Guest::HashesAStreamTooLate => {
            Run(Trapped, "asked for a hash of what it had read already")
        }
        Guest::TrapsOnInputErrors => Run(OverHostCalls, CALLS),

        // Results that break the contract.
        Guest::ReturnsNoObject => Run(BadReport, "another kind of value"),
        Guest::ReturnsDeepJson => Run(BadReport, "is not a JSON object"),
        Guest::ReturnsALongSummary => Run(BadReport, "has 600 bytes"),
        Guest::GivesAnArtifactAPath | Guest::StreamsAnArtifactToAPath => Run(BadReport, "its name is not"),
        Guest::GivesTwoArtifactsOneName | Guest::StreamsTwoArtifactsOfOneName => {
            Run(BadReport, "there is one of the same name")
        }
        Guest::LeavesAnArtifactUnfinished => Run(BadReport, "1 of its artifacts were unfinished"),
        Guest::FindsABadKind => Run(BadReport, "its kind is not"),
        Guest::DescribesABadName => DescribedBadly("name"),
        Guest::DescribesABadVersion => DescribedBadly("version"),
        Guest::DescribesNoSchema => DescribedBadly("parameter-schema"),
        Guest::DescribesASchemaOfNothing => DescribedBadly("report-schema"),

        // What is not for engines.
        Guest::AsksForANetwork => Refused("imports `example:net/sockets@1.0.0`, which is not in the engine contract"),
        Guest::WantsContract3 => {
            Refused("the component needs engine contract 3.0.0, this processor runs 1.0.0 and 2.0.0")
        }
        Guest::SharesItsMemory
        | Guest::Addresses64Bits
        | Guest::AsksForThreads
        | Guest::UsesErrorContexts
        | Guest::UsesStreamsUnderContract1
        | Guest::WaitsWithoutACallback => Refused("the component is malformed"),

        // Good ones, and odd ones that harm nobody.
        Guest::Counts
        | Guest::CountsAStream
        | Guest::EchoesItsParameters
        | Guest::GivesAnEmptyArtifact
        | Guest::HandsOutFindingsAndAnArtifact
        | Guest::HandsOutItsInput
        | Guest::IgnoresInputErrors
        | Guest::KeepsItsHandles
        | Guest::KeepsStreamsAfterItsReturn
        | Guest::NeverReads
        | Guest::ReadsAtTheEdge
        | Guest::ReadsPastTheEnd
        | Guest::Returns2000Bytes
        | Guest::YieldsAfterItsReturn => Succeeds,
    }
}
