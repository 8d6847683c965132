//! Tokens over HTTP, as part of the admin API (`--web.enable-admin-api`).
//!
//! | request | answer |
//! |---|---|
//! | `GET /api/v1/admin/tokens` | all tokens, without their secrets |
//! | `POST /api/v1/admin/tokens` | makes one: `{"name": "…", "scopes": ["read"], "expires_in": "90d"}`; 201, with the secret |
//! | `DELETE /api/v1/admin/tokens/{id}` | revokes one; 204, or 404 |

use axum::{
    Router,
    extract::{Json, Path, State, rejection::JsonRejection},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::{delete, get},
};
use serde::Deserialize;
use serde_json::{Value, json};
use service::units::Span;
use sqlx::PgPool;
use tracing::{info, warn};

use super::admin::{Enabled, refuse};
use crate::{
    db::sqlstate::{self, Outlook},
    token::{
        Keyring, Scope,
        store::{self, NewToken, Token, TokenError, Which},
    },
};

#[derive(Clone)]
struct Tokens {
    db: PgPool,
    keyring: Keyring,
    enabled: Enabled,
}

pub(crate) fn router(db: PgPool, keyring: Keyring, enabled: Enabled) -> Router {
    Router::new()
        .route("/api/v1/admin/tokens", get(list).post(create))
        .route("/api/v1/admin/tokens/{id}", delete(revoke))
        .with_state(Tokens { db, keyring, enabled })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    name: String,
    scopes: Vec<String>,
    expires_in: Option<String>,
}

async fn list(State(tokens): State<Tokens>) -> Result<Response, Response> {
    tokens.enabled.check()?;
    let all = store::list(&tokens.db).await.map_err(failed)?;
    let data: Vec<Value> = all.iter().map(as_json).collect();
    Ok(Json(json!({"status": "success", "data": data})).into_response())
}

async fn create(
    State(tokens): State<Tokens>,
    wanted: Result<Json<Wanted>, JsonRejection>,
) -> Result<Response, Response> {
    tokens.enabled.check()?;
    let Json(wanted) = wanted.map_err(|err| bad_data(&err.body_text()))?;
    let scopes: Vec<Scope> = wanted
        .scopes
        .iter()
        .map(|word| word.parse())
        .collect::<Result<_, _>>()
        .map_err(|err| bad_data(&err))?;
    let expires_in: Option<Span> =
        wanted.expires_in.map(|text| text.parse()).transpose().map_err(|err| bad_data(&err))?;
    let expires_in_s = expires_in.map(|span| i64::try_from(span.0.as_secs()).unwrap_or(i64::MAX));
    let new = NewToken { name: wanted.name, scopes, expires_in_s };
    let (token, secret) = store::create(&tokens.db, &new).await.map_err(failed)?;
    info!(id = token.id, "made token {}", token.id);
    let mut data = as_json(&token);
    data["token"] = Value::from(secret.expose());
    let answer = Json(json!({"status": "success", "data": data}));
    Ok((StatusCode::CREATED, [(header::CACHE_CONTROL, "no-store")], answer).into_response())
}

async fn revoke(State(tokens): State<Tokens>, Path(id): Path<i64>) -> Result<Response, Response> {
    tokens.enabled.check()?;
    if store::revoke(&tokens.db, &Which::Id(id)).await.map_err(failed)?.is_none() {
        return Err(refuse(StatusCode::NOT_FOUND, "not_found", &format!("there is no token {id}")));
    }
    info!(id, "revoked token {id}");
    tokens.keyring.changed().await;
    Ok(StatusCode::NO_CONTENT.into_response())
}

fn as_json(token: &Token) -> Value {
    let scopes: Vec<&str> = token.scopes.iter().map(|scope| scope.as_str()).collect();
    json!({
        "id": token.id,
        "name": token.name,
        "scopes": scopes,
        "createdAt": token.created_at,
        "expiresAt": token.expires_at,
        "lastUsedAt": token.last_used_at,
    })
}

fn bad_data(err: &dyn std::fmt::Display) -> Response {
    refuse(StatusCode::BAD_REQUEST, "bad_data", &err.to_string())
}

fn failed(err: TokenError) -> Response {
    match &err {
        TokenError::Database { source } => {
            warn!("{}", service::error::chain(&err));
            match sqlstate::outlook(source) {
                Outlook::MayPass => {
                    super::error::unavailable("the database did not answer in time\n".to_owned())
                }
                Outlook::NeverPasses => bad_data(&"the database refuses this token"),
            }
        }
        TokenError::Exists { .. } => refuse(StatusCode::CONFLICT, "exists", &err.to_string()),
        _ => bad_data(&err),
    }
}
