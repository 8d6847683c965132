//! The question on its way, and the answer to it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use socket2::Type;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::UdpSocket,
};

use super::Facts;
use crate::{
    config::{DnsConfig, Transport},
    dial,
    dns::{Message, Question},
    failure::{Failure, Phase, Reason},
    probe::Context,
    tls,
};

/// Largest datagram taken; servers send 512 bytes to those who ask without EDNS, and some more.
const DATAGRAM_BYTES_MAX: usize = 65_535;

pub(super) async fn exchange(
    config: &DnsConfig,
    ctx: &Context<'_>,
    address: SocketAddr,
    host: &str,
    question: &Question,
    facts: &mut Facts,
) -> Result<Message, Failure> {
    facts.timeline.enter(Phase::Connect);
    match config.transport {
        Transport::Udp => by_datagram(config.source_ip_address, address, question, facts).await,
        Transport::Tcp => {
            let stream = dial::connect(address, config.source_ip_address).await?;
            if !config.dns_over_tls {
                return by_stream(stream, question, facts).await;
            }
            facts.timeline.enter(Phase::Tls);
            let client = tls::Client::new(&config.tls_config, ctx.roots)?;
            let name = match config.tls_config.server_name.as_str() {
                "" => host,
                name => name,
            };
            let stream = client.handshake(stream, name, &[], &mut facts.tls).await?;
            by_stream(stream, question, facts).await
        }
    }
}

async fn by_datagram(
    source: Option<IpAddr>,
    address: SocketAddr,
    question: &Question,
    facts: &mut Facts,
) -> Result<Message, Failure> {
    let failed = |phase: Phase, err: &std::io::Error| {
        Failure::io(phase, "Error while sending a DNS query", err)
    };
    let any =
        if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = dial::bound_socket(address, source.unwrap_or(any), Type::DGRAM)
        .and_then(|socket| UdpSocket::from_std(socket.into()))
        .map_err(|err| failed(Phase::Connect, &err))?;
    // Only this address' datagrams are taken then, and its refusals are told.
    socket.connect(address).await.map_err(|err| failed(Phase::Connect, &err))?;
    facts.timeline.enter(Phase::Request);
    socket.send(&question.to_wire()).await.map_err(|err| failed(Phase::Request, &err))?;
    facts.timeline.enter(Phase::Processing);
    let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
    loop {
        let n_bytes =
            socket.recv(&mut buffer).await.map_err(|err| failed(Phase::Processing, &err))?;
        // Anybody can send datagrams in somebody's name: what does not answer this question is not looked at.
        if question.is_answered_by(&buffer[..n_bytes]) {
            return parse(&buffer[..n_bytes]);
        }
    }
}

async fn by_stream<S>(
    mut stream: S,
    question: &Question,
    facts: &mut Facts,
) -> Result<Message, Failure>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let failed = |err: &std::io::Error| {
        Failure::io(Phase::Processing, "Error while sending a DNS query", err)
    };
    facts.timeline.enter(Phase::Request);
    let query = question.to_wire();
    let mut framed = (query.len() as u16).to_be_bytes().to_vec();
    framed.extend_from_slice(&query);
    stream.write_all(&framed).await.map_err(|err| failed(&err))?;
    stream.flush().await.map_err(|err| failed(&err))?;
    facts.timeline.enter(Phase::Processing);
    let n_bytes = stream.read_u16().await.map_err(|err| failed(&err))?;
    let mut buffer = vec![0; usize::from(n_bytes)];
    stream.read_exact(&mut buffer).await.map_err(|err| failed(&err))?;
    if !question.is_answered_by(&buffer) {
        let message = "The answer is not one to our question";
        return Err(Failure::new(Phase::Processing, Reason::Protocol, message));
    }
    parse(&buffer)
}

fn parse(bytes: &[u8]) -> Result<Message, Failure> {
    Message::parse(bytes).map_err(|why| {
        Failure::new(
            Phase::Processing,
            Reason::Protocol,
            format!("The answer cannot be read: {why}"),
        )
    })
}
