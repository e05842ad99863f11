//! What routes say of themselves, in one place each: `#[utoipa::path]` beside a handler has its method and path, its first argument says
//! who may call and in whose places that is counted, its last how long a body may be. From these come the router, the OpenAPI document
//! and the places.
//!
//! A handler whose first argument is no [`Permission`] is no [`Guarded`] one, and [`route`] does not take it: the server does not compile.

use axum::Router;
use axum::handler::Handler;
use axum::http::Method;
use filemill_api::paths::in_v1;
use utoipa::openapi::OpenApi;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::security::SecurityRequirement;
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};

use super::app::App;
use super::auth::Permission;
use super::openapi;
use super::routes::Routes;
use crate::callers::Kind;

/// Declares a handler: `route!(uploads::open)`.
macro_rules! route {
    ($handler:path) => {
        ($crate::http::declared::access(&$handler), utoipa_axum::routes!($handler))
    };
}

pub(super) use route;

/// The arguments of a handler of which the first is a [`Permission`].
pub(super) trait Guarded {
    /// It.
    type Permission: Permission;
}

macro_rules! guarded {
    ($($argument:ident),*) => {
        impl<M, P: Permission, $($argument),*> Guarded for (M, P, $($argument,)*) {
            type Permission = P;
        }
    };
}

guarded!();
guarded!(A);
guarded!(A, B);
guarded!(A, B, C);
guarded!(A, B, C, D);
guarded!(A, B, C, D, E);

/// Who may call a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Access {
    is_public: bool,
    kind: Kind,
}

/// Who may call this handler.
pub(super) fn access<H: Handler<T, App>, T: Guarded>(_: &H) -> Access {
    Access { is_public: T::Permission::IS_PUBLIC, kind: T::Permission::KIND }
}

/// What the routes have said.
pub(super) struct Declared {
    router: OpenApiRouter<App>,
    pub(super) routes: Routes,
}

impl Declared {
    /// None yet; `api` is what the document says beside the routes.
    pub(super) fn new(api: OpenApi) -> Self {
        Self { router: OpenApiRouter::with_openapi(api), routes: Routes::default() }
    }

    /// One more.
    pub(super) fn with(
        mut self,
        (access, (schemas, mut paths, method_router)): (Access, UtoipaMethodRouter<App>),
    ) -> Self {
        for (path, item) in &mut paths.paths {
            for (method, operation) in operations(item) {
                openapi::refusals(operation, access.is_public);
                if access.is_public {
                    operation.security = Some(vec![SecurityRequirement::default()]);
                }
                self.routes.add(path, method, access.kind);
            }
            if access.is_public {
                self.routes.add_public(path);
            }
        }
        self.router = self.router.routes((schemas, paths, method_router));
        self
    }

    /// A call that version 1 has just as version 2 does, at its path there.
    pub(super) fn with_in_v1(self, (access, (schemas, mut paths, router)): (Access, UtoipaMethodRouter<App>)) -> Self {
        paths.paths = paths.paths.into_iter().map(|(path, item)| (in_v1(&path), item)).collect();
        self.with((access, (schemas, paths, router)))
    }

    /// The router, the document, and what is known of requests.
    pub(super) fn into_parts(self) -> (Router<App>, OpenApi, Routes) {
        let (router, api) = self.router.split_for_parts();
        (router, api, self.routes)
    }
}

/// The operations of a path, whatever their method.
fn operations(item: &mut PathItem) -> impl Iterator<Item = (Method, &mut Operation)> {
    let PathItem { get, put, post, delete, options, head, patch, trace, .. } = item;
    [
        (Method::GET, get),
        (Method::PUT, put),
        (Method::POST, post),
        (Method::DELETE, delete),
        (Method::OPTIONS, options),
        (Method::HEAD, head),
        (Method::PATCH, patch),
        (Method::TRACE, trace),
    ]
    .into_iter()
    .filter_map(|(method, operation)| Some((method, operation.as_mut()?)))
}

#[cfg(test)]
mod tests {
    use std::marker::PhantomData;

    use axum::extract::State;
    use utoipa::openapi::HttpMethod;

    use super::*;
    use crate::http::auth::{Polls, Processor, Public, User};

    /// Says whether arguments are those of a handler that can be declared.
    struct Probe<T>(PhantomData<T>);

    impl<T: Guarded> Probe<T> {
        #[expect(clippy::unused_self, reason = "it has to be the same call as the one below")]
        fn is_guarded(&self) -> bool {
            true
        }
    }

    trait Unguarded {
        fn is_guarded(&self) -> bool;
    }

    impl<T> Unguarded for &Probe<T> {
        fn is_guarded(&self) -> bool {
            false
        }
    }

    macro_rules! is_guarded {
        ($arguments:ty) => {{
            let probe = Probe::<$arguments>(PhantomData);
            (&probe).is_guarded()
        }};
    }

    #[test]
    fn a_handler_is_a_route_only_if_its_first_argument_says_who_may_call() {
        assert!(is_guarded!((u8, User, State<App>)));
        assert!(is_guarded!((u8, Processor<Polls>)));
        assert!(is_guarded!((u8, Public)));
        assert!(!is_guarded!(((),)), "no argument");
        assert!(!is_guarded!((u8, State<App>)));
        assert!(!is_guarded!((u8, State<App>, User)), "what comes before it would be worked on for anybody");
    }

    #[test]
    fn whatever_method_an_operation_has_it_is_found() {
        let mut item = PathItem::new(HttpMethod::Delete, Operation::new());
        item.patch = Some(Operation::new());
        let methods: Vec<_> = operations(&mut item).map(|(method, _)| method).collect();
        assert_eq!(methods, [Method::DELETE, Method::PATCH]);
    }
}
