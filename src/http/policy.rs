//! The policy of each route: who may call it, how long it may take, and which headers of a write it
//! supports.

use std::{collections::HashMap, time::Duration};

use utoipa::openapi::{
    OpenApi, Ref, ResponseBuilder,
    content::ContentBuilder,
    path::{Operation, ParameterBuilder, ParameterIn, PathItem},
    schema::{Object, Type},
    security::SecurityRequirement,
};
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};

use super::App;
use crate::{api::ProblemCode, model::Role};

/// How long a handler with the default deadline, and the body that it waits for, may take.
pub(super) const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a route may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deadline {
    /// [`REQUEST_TIMEOUT`].
    Default,
    /// Without a deadline, since the body or the response has limits of its own.
    None,
}

/// What is kept of a request with an `Idempotency-Key`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Idempotency {
    /// The route does not support a key.
    None,
    /// The receipt of each change of the request, in the ledger.
    PerChange,
    /// The response.
    Response,
    /// Only that the request was done: its response contains a secret, which is displayed once.
    Secret,
    /// The response; the body is a file, which is identified by its hash.
    File,
}

/// The policy of a route.
#[derive(Debug, Clone, Copy)]
pub(super) struct RoutePolicy {
    /// The least role that may call it; `None` for every client.
    pub role: Option<Role>,
    /// How long it may take.
    pub deadline: Deadline,
    /// Whether its handler checks the bounds of a token. A limited token may not call a writing
    /// route that does not.
    pub checks_bounds: bool,
    /// What is kept of a request with an `Idempotency-Key`.
    pub idempotency: Idempotency,
    /// Whether it supports `If-Match`.
    pub if_match: bool,
}

impl RoutePolicy {
    /// A route for every client.
    pub const PUBLIC: RoutePolicy = RoutePolicy {
        role: None,
        deadline: Deadline::Default,
        checks_bounds: false,
        idempotency: Idempotency::None,
        if_match: false,
    };

    /// A route for a role and those above it.
    pub const fn role(role: Role) -> RoutePolicy {
        RoutePolicy {
            role: Some(role),
            ..RoutePolicy::PUBLIC
        }
    }

    /// Without a deadline.
    pub const fn unlimited(self) -> RoutePolicy {
        RoutePolicy {
            deadline: Deadline::None,
            ..self
        }
    }

    /// With a handler that checks the bounds of the token.
    pub const fn checks_bounds(self) -> RoutePolicy {
        RoutePolicy {
            checks_bounds: true,
            ..self
        }
    }

    /// With an `Idempotency-Key`.
    pub const fn idempotent(self, idempotency: Idempotency) -> RoutePolicy {
        RoutePolicy {
            idempotency,
            ..self
        }
    }

    /// With `If-Match`.
    pub const fn if_match(self) -> RoutePolicy {
        RoutePolicy {
            if_match: true,
            ..self
        }
    }
}

/// The policies of all routes, by path and method.
#[derive(Debug, Default)]
pub(super) struct RouteTable(HashMap<String, Vec<(&'static str, RoutePolicy)>>);

impl RouteTable {
    /// The policy of a route; `None` if the path does not support the method.
    pub fn get(&self, method: &str, path: &str) -> Option<RoutePolicy> {
        let methods = self.0.get(path)?;
        methods.iter().find(|m| m.0 == method).map(|m| m.1)
    }

    /// Adds a route without a description.
    pub fn insert(&mut self, method: &'static str, path: &str, policy: RoutePolicy) {
        let methods = self.0.entry(path.into()).or_default();
        methods.push((method, policy));
    }
}

/// Collects routes, each with its handler, policy and description.
pub(super) struct Routes {
    router: OpenApiRouter<App>,
    table: RouteTable,
    /// Whether the descriptions are kept, which take some megabytes.
    are_described: bool,
}

impl Routes {
    /// Routes that are added to a description.
    pub fn described(api: OpenApi) -> Routes {
        Routes {
            router: OpenApiRouter::with_openapi(api),
            table: RouteTable::default(),
            are_described: true,
        }
    }

    /// Routes without a description.
    pub fn plain() -> Routes {
        Routes {
            are_described: false,
            ..Routes::described(OpenApi::default())
        }
    }

    /// Adds a route.
    #[must_use]
    pub fn add(mut self, policy: RoutePolicy, route: UtoipaMethodRouter<App>) -> Routes {
        let (mut schemas, mut paths, handler) = route;
        for (path, item) in &mut paths.paths {
            let methods = [
                ("GET", &mut item.get),
                ("POST", &mut item.post),
                ("PATCH", &mut item.patch),
                ("DELETE", &mut item.delete),
            ];
            for (method, operation) in methods {
                if let Some(operation) = operation {
                    if self.are_described {
                        describe(method, operation, policy);
                    }
                    self.table.insert(method, path, policy);
                }
            }
        }
        if !self.are_described {
            schemas.clear();
            let items = paths.paths.values_mut();
            items.for_each(|item| *item = PathItem::default());
        }
        self.router = self.router.routes((schemas, paths, handler));
        self
    }

    /// Adds a layer around all routes so far.
    #[must_use]
    pub fn map(mut self, f: impl FnOnce(OpenApiRouter<App>) -> OpenApiRouter<App>) -> Routes {
        self.router = f(self.router);
        self
    }

    /// Adds all routes of another collection.
    #[must_use]
    pub fn merge(mut self, other: Routes) -> Routes {
        self.router = self.router.merge(other.router);
        for (path, methods) in other.table.0 {
            self.table.0.entry(path).or_default().extend(methods);
        }
        self
    }

    /// The router, its description, and the policies. Of plain routes, the description has only the
    /// paths.
    pub fn into_parts(self) -> (axum::Router<App>, OpenApi, RouteTable) {
        let (router, api) = self.router.split_for_parts();
        (router, api, self.table)
    }
}

/// Completes the description of an operation by its policy: the role, the headers of a write, and
/// the problems that it can answer with.
fn describe(method: &str, operation: &mut Operation, policy: RoutePolicy) {
    let write = method != "GET";
    match policy.role {
        None => operation.security = Some(vec![SecurityRequirement::default()]),
        Some(role) => {
            let text = operation.description.take().unwrap_or_default();
            let needs = format!("Requires the role `{}`.", role.name());
            operation.description = Some(format!("{text}\n\n{needs}").trim().to_string());
        }
    }
    let key = match policy.idempotency {
        Idempotency::None => None,
        Idempotency::PerChange | Idempotency::Response | Idempotency::File => Some(
            "A key of at most 255 characters. A repeated request with the same key gets the response of the first one.",
        ),
        Idempotency::Secret => Some(
            "A key of at most 255 characters. A repeated request with the same key gets the problem `already-processed`, since secrets are displayed once.",
        ),
    };
    let if_match = policy
        .if_match
        .then_some("The revision of the subject on which the request is based. If the subject has another one, the request gets the problem `precondition-failed`.");
    for (name, text) in [("Idempotency-Key", key), ("If-Match", if_match)] {
        let Some(text) = text else { continue };
        let parameter = ParameterBuilder::new()
            .name(name)
            .parameter_in(ParameterIn::Header)
            .description(Some(text))
            .schema(Some(Object::with_type(Type::String)))
            .build();
        let parameters = operation.parameters.get_or_insert_default();
        parameters.push(parameter.into());
    }
    let possible = |code: &&ProblemCode| match code.status() {
        401 | 403 => policy.role.is_some(),
        405 => false,
        412 => policy.if_match,
        413 | 500 => write,
        _ => true,
    };
    let mut by_status = std::collections::BTreeMap::<u16, Vec<&str>>::new();
    for code in ProblemCode::ALL.iter().filter(possible) {
        let codes = by_status.entry(code.status()).or_default();
        codes.push(code.as_str());
    }
    for (status, codes) in by_status {
        let content = ContentBuilder::new()
            .schema(Some(Ref::from_schema_name("ProblemDetails")))
            .build();
        let response = ResponseBuilder::new()
            .description(format!("A problem: {}", codes.join(", ")))
            .content("application/problem+json", content)
            .build();
        let responses = &mut operation.responses.responses;
        let entry = responses.entry(status.to_string());
        entry.or_insert_with(|| response.into());
    }
}
