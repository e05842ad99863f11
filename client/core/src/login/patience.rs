//! For how long a server is waited for while somebody logs in.

use std::pin::pin;
use std::time::Duration;

use crate::api::Api;
use crate::error::{Error, NoAnswer};

/// After how long it is said that the server lets this program wait.
pub(super) const SAY_AFTER: Duration = Duration::from_secs(3);
/// For how long it is waited for, all attempts together.
const MOST: Duration = Duration::from_secs(30);

/// What a call of `api` comes to, which is waited for within bounds, and not silently.
///
/// # Errors
///
/// The call's, and [`Error::Unreachable`] if it takes too long.
pub(super) async fn answered<T>(api: &Api, call: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    within(api, call, SAY_AFTER, MOST).await
}

async fn within<T>(
    api: &Api,
    call: impl Future<Output = Result<T, Error>>,
    say_after: Duration,
    most: Duration,
) -> Result<T, Error> {
    let mut call = pin!(call);
    let silent = |time: Duration| {
        let why = NoAnswer::Unreached(format!("it has not answered for {} seconds", time.as_secs()));
        Error::Unreachable { server: api.server().to_owned(), why }
    };
    if let Ok(answer) = tokio::time::timeout(say_after, &mut call).await {
        return answer;
    }
    api.in_trouble(&silent(say_after));
    tokio::time::timeout(most.saturating_sub(say_after), call).await.unwrap_or_else(|_| Err(silent(most)))
}

#[cfg(test)]
mod tests {
    use url::Url;

    use super::*;
    use crate::event::{Event, Trouble};
    use crate::teller::Teller;

    #[tokio::test]
    async fn a_server_that_does_not_answer_is_said_to_be_waited_for_and_not_for_ever() {
        let (teller, mut told) = Teller::new(8);
        let api = Api::without_token(Url::parse("http://127.0.0.1:1").unwrap()).unwrap().telling(teller);
        let never = std::future::pending::<Result<(), Error>>();
        let error = within(&api, never, Duration::ZERO, Duration::from_millis(1)).await.unwrap_err();
        assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
        assert!(matches!(told.try_next(), Some(Event::Trouble(Trouble::Unreachable { .. }))));
        let answer = async { Ok(7) };
        assert_eq!(within(&api, answer, Duration::from_secs(60), Duration::from_secs(60)).await.unwrap(), 7);
        assert!(told.is_empty(), "nothing to say");
    }
}
