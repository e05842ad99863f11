//! One-time codes: one token each, for whoever is first, and for nobody else.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::HEXLOWER;
use filemill_api::{ErrorBody, ErrorCode, JoinAnswer, JoinRequest, join_code, limits};
use filemill_server::accounts::{JoinCodeState, JoinGrant, NewCode, Revoked, Scope};
use filemill_server::catalog::Serves;
use filemill_server::{Domains, DomainsConfig};

use super::clocks::{jump, settable};
use super::site::{Kind, Site};

super::on_both!(
    a_code_gives_one_token_and_its_redeemer_the_same_again,
    of_many_who_show_a_code_at_once_one_gets_its_token,
    a_lost_answer_is_given_again_however_many_ask_at_once,
    a_code_is_good_for_ten_minutes_by_the_databases_clock,
    a_code_that_another_clock_made_is_not_good,
    an_answer_is_given_again_for_ten_minutes,
    a_code_that_was_taken_back_or_never_made_opens_nothing,
    the_token_of_a_code_can_be_revoked_for_good,
    a_revoked_token_takes_the_login_code_along_that_came_with_it,
    a_code_is_good_for_its_scope_and_its_pool_alone,
    a_processor_is_given_a_code_to_hand_on,
    the_database_holds_no_code_and_no_token,
    codes_that_are_good_are_bounded,
    codes_of_a_clock_that_was_ahead_are_in_nobodys_way,
    a_code_that_nobody_used_leaves_nothing_behind,
    a_new_pool_serves_whom_its_code_says_and_one_that_is_there_serves_as_before,
    what_no_code_may_grant_is_refused,
);

const SECOND: i64 = 1000;
const LIFETIME: i64 = limits::JOIN_CODE_SECONDS as i64 * SECOND;

fn processor() -> JoinGrant {
    JoinGrant {
        organisation: "mill".into(),
        member: "node".into(),
        scope: Scope::Processor,
        pool: Some("main".into()),
        everyone: false,
        login: None,
    }
}

fn user() -> JoinGrant {
    JoinGrant {
        organisation: "acme".into(),
        member: "ann".into(),
        scope: Scope::User,
        pool: None,
        everyone: false,
        login: None,
    }
}

fn request(code: &str, redeemer: u8, scope: &str) -> JoinRequest {
    JoinRequest { code: code.into(), redeemer: HEXLOWER.encode(&[redeemer; 32]), scope: scope.into(), pool: None }
}

async fn made(server: &Domains, grant: &JoinGrant) -> NewCode {
    server.accounts.create_join_code(grant).await.expect("a code")
}

async fn redeem(server: &Domains, code: &NewCode, redeemer: u8) -> Result<JoinAnswer, ErrorBody> {
    server.accounts.redeem_join_code(&request(&code.text, redeemer, "processor")).await
}

fn refused(answer: Result<JoinAnswer, ErrorBody>, code: ErrorCode, words: &str) {
    let body = answer.expect_err("refused");
    assert_eq!(body.code, code, "{body}");
    assert!(body.message.contains(words) && body.hint.is_some(), "{body}");
}

async fn a_code_gives_one_token_and_its_redeemer_the_same_again(site: Arc<Site>) {
    let server = site.server();
    let code = made(&server, &processor()).await;
    let first = redeem(&server, &code, 1).await.expect("the first");
    assert!(first.token.starts_with("fm_p_") && first.login.is_none());
    let caller = server.accounts.authenticate(&first.token).await.expect("a caller");
    assert_eq!((caller.organisation_name.as_str(), caller.member_name.as_str()), ("mill", "node"));
    assert_eq!((caller.scope, caller.pool.as_deref()), (Scope::Processor, Some("main")));
    refused(redeem(&server, &code, 2).await, ErrorCode::Conflict, "has been used");
    // However it was typed.
    let typed = NewCode { id: code.id, text: code.text.to_lowercase().replace('-', " ") };
    assert!(redeem(&server, &typed, 1).await.expect("again") == first);
    assert_eq!(site.number("select count(*) from tokens where scope = 'processor'").await, 1);
    assert_eq!(server.accounts.join_codes().await.expect("listed")[0].state, JoinCodeState::Used);
}

async fn of_many_who_show_a_code_at_once_one_gets_its_token(site: Arc<Site>) {
    let (one, other) = (site.server(), site.other_server(DomainsConfig::default()).await);
    for _ in 0..5 {
        let code = made(&one, &processor()).await;
        let asking = (0..12).map(|redeemer| redeem(if redeemer % 2 == 0 { &one } else { &other }, &code, redeemer));
        let answers = futures::future::join_all(asking).await;
        let (given, refusals): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
        assert_eq!(given.len(), 1);
        for answer in refusals {
            refused(answer, ErrorCode::Conflict, "has been used");
        }
    }
    assert_eq!(site.number("select count(*) from tokens where scope = 'processor'").await, 5);
}

async fn a_lost_answer_is_given_again_however_many_ask_at_once(site: Arc<Site>) {
    let (one, other) = (site.server(), site.other_server(DomainsConfig::default()).await);
    let code = made(&one, &JoinGrant { login: Some("ann".into()), ..processor() }).await;
    let asking = (0..12).map(|turn| redeem(if turn % 2 == 0 { &one } else { &other }, &code, 7));
    let answers: Vec<_> =
        futures::future::join_all(asking).await.into_iter().map(|answer| answer.expect("given")).collect();
    assert!(answers.iter().all(|answer| answer.token == answers[0].token));
    let logins: Vec<_> = answers.iter().map(|answer| &answer.login.as_ref().expect("a login").code).collect();
    assert!(logins.iter().all(|login| *login == logins[0]));
    assert_eq!(site.number("select count(*) from tokens where scope = 'processor'").await, 1);
}

async fn a_code_is_good_for_ten_minutes_by_the_databases_clock(site: Arc<Site>) {
    let server = settable(&site, DomainsConfig::default()).await;
    let (code, late) = (made(&server, &processor()).await, made(&server, &processor()).await);
    jump(&site, LIFETIME - 20 * SECOND).await;
    redeem(&server, &code, 1).await.expect("still good");
    jump(&site, 21 * SECOND).await;
    refused(redeem(&server, &late, 1).await, ErrorCode::NotFound, "has expired");
    let states: Vec<_> =
        server.accounts.join_codes().await.expect("listed").into_iter().map(|code| code.state).collect();
    assert_eq!(states, [JoinCodeState::Used, JoinCodeState::Expired]);
    // A day later nobody knows of it any more.
    jump(&site, 25 * 3600 * SECOND).await;
    made(&server, &processor()).await;
    refused(redeem(&server, &late, 1).await, ErrorCode::NotFound, "no such");
    assert_eq!(server.accounts.join_codes().await.expect("listed").len(), 1);
}

async fn a_code_that_another_clock_made_is_not_good(site: Arc<Site>) {
    let server = settable(&site, DomainsConfig::default()).await;
    let code = made(&server, &processor()).await;
    jump(&site, -3600 * SECOND).await;
    refused(redeem(&server, &code, 1).await, ErrorCode::NotFound, "has expired");
    // Nor is what it gave told again by it.
    let code = made(&server, &processor()).await;
    redeem(&server, &code, 1).await.expect("given");
    jump(&site, -3600 * SECOND).await;
    refused(redeem(&server, &code, 1).await, ErrorCode::Conflict, "has been used");
}

async fn an_answer_is_given_again_for_ten_minutes(site: Arc<Site>) {
    let server = settable(&site, DomainsConfig::default()).await;
    let code = made(&server, &JoinGrant { login: Some("ann".into()), ..processor() }).await;
    jump(&site, LIFETIME - 20 * SECOND).await;
    let first = redeem(&server, &code, 1).await.expect("given");
    // The code is over by now, and the answer was lost.
    jump(&site, 60 * SECOND).await;
    let again = redeem(&server, &code, 1).await.expect("given again");
    assert!(again.token == first.token);
    let left = again.login.expect("a login").expires_in_s;
    assert!((500..=540).contains(&left), "{left}");
    refused(redeem(&server, &code, 2).await, ErrorCode::Conflict, "has been used");
    jump(&site, LIFETIME).await;
    refused(redeem(&server, &code, 1).await, ErrorCode::Conflict, "has been used");
    server.accounts.authenticate(&first.token).await.expect("a token lasts");
}

async fn a_code_that_was_taken_back_or_never_made_opens_nothing(site: Arc<Site>) {
    let server = site.server();
    let code = made(&server, &processor()).await;
    assert!(server.accounts.revoke_join_code(code.id).await.expect("taken back"));
    assert!(!server.accounts.revoke_join_code(code.id).await.expect("once"));
    refused(redeem(&server, &code, 1).await, ErrorCode::NotFound, "no such");
    let never = NewCode { id: 0, text: "0123-4567-89AB-CDEF-GHJK-MNPQ-RSTV".into() };
    refused(redeem(&server, &never, 1).await, ErrorCode::NotFound, "no such");
    let used = made(&server, &processor()).await;
    redeem(&server, &used, 1).await.expect("given");
    assert!(!server.accounts.revoke_join_code(used.id).await.expect("it is its redeemer's"));
    for text in ["", "fm_p_00", "0123"] {
        let none = NewCode { id: 0, text: text.into() };
        refused(redeem(&server, &none, 1).await, ErrorCode::BadRequest, "not a one-time code");
    }
    let other = made(&server, &processor()).await;
    for redeemer in ["", "AB", &"AB".repeat(32), &"é".repeat(32)] {
        let request = JoinRequest { redeemer: redeemer.into(), ..request(&other.text, 1, "processor") };
        assert_eq!(server.accounts.redeem_join_code(&request).await.expect_err("refused").code, ErrorCode::BadRequest);
    }
}

async fn the_token_of_a_code_can_be_revoked_for_good(site: Arc<Site>) {
    let server = site.server();
    let code = made(&server, &processor()).await;
    let given = redeem(&server, &code, 1).await.expect("given");
    let tokens = server.accounts.tokens().await.expect("listed");
    let token = tokens.iter().find(|token| token.scope == Scope::Processor).expect("the one that was given");
    assert!(server.accounts.revoke_token(token.id).await.expect("revoked").is_some());
    refused(redeem(&server, &code, 1).await, ErrorCode::Conflict, "revoked");
    assert_eq!(server.accounts.authenticate(&given.token).await.expect_err("revoked").code, ErrorCode::Unauthenticated);
}

async fn a_revoked_token_takes_the_login_code_along_that_came_with_it(site: Arc<Site>) {
    let server = site.server();
    let joined = async |redeemer: u8| {
        let code = made(&server, &JoinGrant { login: Some("ann".into()), ..processor() }).await;
        let login = redeem(&server, &code, redeemer).await.expect("given").login.expect("a login");
        let tokens = server.accounts.tokens().await.expect("listed");
        let token = tokens.iter().rev().find(|token| token.scope == Scope::Processor).expect("the one that was given");
        (token.id, login.code)
    };
    let (token, unused) = joined(1).await;
    let (other, used) = joined(2).await;
    server.accounts.redeem_join_code(&request(&used, 3, "user")).await.expect("a person's");
    let person = server.accounts.tokens().await.expect("listed").last().expect("the person's").id;
    let revoked = async |token| server.accounts.revoke_token(token).await.expect("revoked");
    assert_eq!(revoked(token).await, Some(Revoked { codes: 1, tokens: Vec::new() }));
    refused(server.accounts.redeem_join_code(&request(&unused, 4, "user")).await, ErrorCode::NotFound, "no such");
    // Whoever has logged in by it has a token, of which the operator is told.
    assert_eq!(revoked(other).await, Some(Revoked { codes: 0, tokens: vec![person] }));
    assert_eq!(revoked(person).await, Some(Revoked { codes: 0, tokens: Vec::new() }));
}

async fn a_code_is_good_for_its_scope_and_its_pool_alone(site: Arc<Site>) {
    let server = site.server();
    let code = made(&server, &processor()).await;
    for scope in ["user", "operator", "", "a\0b"] {
        let answer = server.accounts.redeem_join_code(&request(&code.text, 1, scope)).await;
        refused(answer, ErrorCode::Conflict, "is for a processor");
    }
    let other = JoinRequest { pool: Some("other".into()), ..request(&code.text, 1, "processor") };
    refused(server.accounts.redeem_join_code(&other).await, ErrorCode::Conflict, "for pool `main`");
    let own = JoinRequest { pool: Some("main".into()), ..other };
    server.accounts.redeem_join_code(&own).await.expect("it stayed good");

    let code = made(&server, &user()).await;
    refused(redeem(&server, &code, 1).await, ErrorCode::Conflict, "is for a user");
    let given = server.accounts.redeem_join_code(&request(&code.text, 1, "user")).await.expect("it stayed good");
    let caller = server.accounts.authenticate(&given.token).await.expect("a caller");
    assert!(given.token.starts_with("fm_u_") && given.pool.is_none());
    assert_eq!((caller.organisation_name.as_str(), caller.member_name.as_str()), ("acme", "ann"));
    caller.processor_pool().expect_err("it is no processor's");
}

async fn a_processor_is_given_a_code_to_hand_on(site: Arc<Site>) {
    let server = settable(&site, DomainsConfig::default()).await;
    let code = made(&server, &JoinGrant { login: Some("ann".into()), ..processor() }).await;
    let login = redeem(&server, &code, 1).await.expect("given").login.expect("a login");
    assert_eq!((login.user.as_str(), login.expires_in_s), ("ann", limits::JOIN_CODE_SECONDS));
    refused(
        server.accounts.redeem_join_code(&request(&login.code, 1, "processor")).await,
        ErrorCode::Conflict,
        "is for a user",
    );
    let given = server.accounts.redeem_join_code(&request(&login.code, 2, "user")).await.expect("a person's");
    let caller = server.accounts.authenticate(&given.token).await.expect("a caller");
    assert_eq!((caller.organisation_name.as_str(), caller.member_name.as_str()), ("mill", "ann"));
    refused(
        server.accounts.redeem_join_code(&request(&login.code, 3, "user")).await,
        ErrorCode::Conflict,
        "has been used",
    );
    // It has ten minutes of its own.
    let code = made(&server, &JoinGrant { login: Some("ann".into()), ..processor() }).await;
    jump(&site, LIFETIME - 20 * SECOND).await;
    let login = redeem(&server, &code, 1).await.expect("given").login.expect("a login");
    jump(&site, 60 * SECOND).await;
    server.accounts.redeem_join_code(&request(&login.code, 2, "user")).await.expect("still good");
}

async fn the_database_holds_no_code_and_no_token(site: Arc<Site>) {
    let server = site.server();
    let code = made(&server, &JoinGrant { login: Some("ann".into()), ..processor() }).await;
    let given = redeem(&server, &code, 1).await.expect("given");
    let login = given.login.expect("a login").code;
    let hashed = async |table: &str, text: &str| {
        let hash = HEXLOWER.encode(digest(&SHA256, text.as_bytes()).as_ref());
        let literal = match site.kind() {
            Kind::Sqlite => format!("x'{hash}'"),
            Kind::Postgres => format!("'\\x{hash}'::bytea"),
        };
        site.number(&format!("select count(*) from {table} where hash = {literal}")).await
    };
    for text in [&code.text, &login] {
        let plain = join_code(text).expect("a code");
        assert_eq!(hashed("join_codes", &plain).await, 1, "the hash is all that there is");
        for secret in [text, &plain] {
            let texts = "organisation || member || scope || coalesce(pool, '') || coalesce(login, '')";
            let found = format!("select count(*) from join_codes where {texts} like '%{secret}%'");
            assert_eq!(site.number(&found).await, 0);
        }
    }
    assert_eq!(hashed("tokens", &given.token).await, 1);
    let redeemer = digest(&SHA256, &[1; 32]);
    let hex = HEXLOWER.encode(redeemer.as_ref());
    let literal = match site.kind() {
        Kind::Sqlite => format!("x'{hex}'"),
        Kind::Postgres => format!("'\\x{hex}'::bytea"),
    };
    assert_eq!(site.number(&format!("select count(*) from join_codes where redeemer = {literal}")).await, 1);
    let made = format!("{code:?} {:?}", request(&code.text, 1, "processor"));
    assert!(!made.contains(&code.text), "{made}");
}

async fn codes_that_are_good_are_bounded(site: Arc<Site>) {
    let server = settable(&site, DomainsConfig::default()).await;
    let first = made(&server, &processor()).await;
    for _ in 1..limits::MAX_JOIN_CODES {
        made(&server, &processor()).await;
    }
    let refusal = server.accounts.create_join_code(&processor()).await.expect_err("too many");
    assert!(refusal.code == ErrorCode::OverQuota && refusal.hint.is_some(), "{refusal}");
    redeem(&server, &first, 1).await.expect("given");
    made(&server, &processor()).await;
    jump(&site, LIFETIME + SECOND).await;
    made(&server, &processor()).await;
}

async fn codes_of_a_clock_that_was_ahead_are_in_nobodys_way(site: Arc<Site>) {
    let server = settable(&site, DomainsConfig::default()).await;
    jump(&site, 300 * 24 * 3600 * SECOND).await;
    for _ in 0..limits::MAX_JOIN_CODES {
        made(&server, &processor()).await;
    }
    jump(&site, -300 * 24 * 3600 * SECOND).await;
    let code = made(&server, &processor()).await;
    redeem(&server, &code, 1).await.expect("given");
    assert_eq!(server.accounts.join_codes().await.expect("listed").len(), 1);
}

async fn a_code_that_nobody_used_leaves_nothing_behind(site: Arc<Site>) {
    let server = site.server();
    let known = async || {
        let organisations = site.number("select count(*) from organisations").await;
        let members = site.number("select count(*) from members").await;
        organisations + members + site.number("select count(*) from pool_service").await
    };
    let before = known().await;
    let code = made(&server, &processor()).await;
    assert_eq!(known().await, before);
    redeem(&server, &code, 1).await.expect("given");
    assert_eq!(known().await, before + 3);
}

async fn a_new_pool_serves_whom_its_code_says_and_one_that_is_there_serves_as_before(site: Arc<Site>) {
    let server = site.server();
    let join = async |pool: &str, everyone: bool| {
        let grant = JoinGrant { pool: Some(pool.into()), everyone, ..processor() };
        let code = made(&server, &grant).await;
        redeem(&server, &code, 1).await.expect("given");
        let services = server.catalog.pool_services().await.expect("listed");
        services.into_iter().find(|service| service.pool == pool).expect("it is there").serves
    };
    let own = Serves::Organisations(vec!["mill".into()]);
    assert_eq!(join("a", true).await, Serves::Everyone);
    assert_eq!(join("b", false).await, own);
    assert_eq!(join("a", false).await, Serves::Everyone);
    assert_eq!(join("b", true).await, own);
}

async fn what_no_code_may_grant_is_refused(site: Arc<Site>) {
    let server = site.server();
    for grant in [
        JoinGrant { scope: Scope::Operator, ..user() },
        JoinGrant { pool: None, ..processor() },
        JoinGrant { pool: Some("main".into()), ..user() },
        JoinGrant { login: Some("bob".into()), ..user() },
        JoinGrant { login: Some("b b".into()), ..processor() },
        JoinGrant { organisation: "a b".into(), ..user() },
        JoinGrant { member: String::new(), ..user() },
    ] {
        let refusal = server.accounts.create_join_code(&grant).await.expect_err("refused");
        assert_eq!(refusal.code, ErrorCode::BadRequest, "{grant:?}");
    }
    assert_eq!(site.number("select count(*) from join_codes").await, 0);
}
