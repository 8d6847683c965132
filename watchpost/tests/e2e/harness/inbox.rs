//! Where alerts arrive: a mail server and a Telegram that keep what they are sent.

use std::sync::{Arc, Mutex};

use axum::{Json, Router, extract::State, http::Uri};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};

pub(crate) type Inbox = Arc<Mutex<Vec<String>>>;

/// Takes mail and keeps what comes after DATA.
pub(crate) async fn mail_server(inbox: Inbox) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(converse(stream, inbox.clone()));
        }
    });
    address
}

async fn converse(stream: TcpStream, inbox: Inbox) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    stream.write_all(b"220 fake\r\n").await?;
    let mut line = String::new();
    let mut mail: Option<String> = None;
    while stream.read_line(&mut line).await? > 0 {
        let answer = match &mut mail {
            Some(text) if line.trim_end() == "." => {
                inbox.lock().unwrap().push(std::mem::take(text));
                mail = None;
                "250 taken\r\n"
            }
            Some(text) => {
                text.push_str(&line);
                ""
            }
            None if line.starts_with("DATA") => {
                mail = Some(String::new());
                "354 go on\r\n"
            }
            None if line.starts_with("QUIT") => "221 bye\r\n",
            None => "250 fine\r\n",
        };
        stream.write_all(answer.as_bytes()).await?;
        line.clear();
    }
    Ok(())
}

/// Takes messages and keeps `<path> <chat> <text>`.
pub(crate) async fn telegram(inbox: Inbox) -> String {
    async fn take(State(inbox): State<Inbox>, uri: Uri, Json(message): Json<Value>) -> Json<Value> {
        let text = message["text"].as_str().unwrap_or_default();
        assert_eq!(message["parse_mode"], "HTML");
        inbox.lock().unwrap().push(format!("{uri} {} {text}", message["chat_id"]));
        let chat = json!({"id": -1_001_234, "type": "group"});
        Json(json!({"ok": true, "result": {"message_id": 1, "date": 1, "chat": chat}}))
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().fallback(take).with_state(inbox);
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

/// The readable parts of a mail: quoted-printable undone as far as ASCII needs it.
pub(crate) fn readable(mail: &str) -> String {
    mail.replace("=\r\n", "").replace("=3D", "=").replace("\r\n", "\n")
}
