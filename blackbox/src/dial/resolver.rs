//! The DNS servers that a module names, asked instead of the system's resolver.
//!
//! What they say is taken as they say it: no `/etc/hosts`, no search list, no cache. Everything that a hostile answer
//! could make endless has an end: attempts, aliases, records.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    pin::pin,
    time::Duration,
};

use futures_util::future::{Either, select};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UdpSocket},
};

use super::{Family, Preference};
use crate::{
    dns::{self, Addresses, Question, codes},
    failure::{Failure, Phase, Reason},
};

/// A datagram may be lost, and a server may be down: then the next one is asked, and all of them once more.
const ROUNDS: usize = 2;
/// For one answer.
const WAIT: Duration = Duration::from_secs(2);
/// Questions that one name may lead to by aliases whose addresses the answer does not hold.
const QUESTIONS_MAX: usize = 8;
const DATAGRAM_BYTES_MAX: usize = 4096;
const A: u16 = 1;
const AAAA: u16 = 28;
const IN: u16 = 1;
const NOERROR: u16 = 0;
const NXDOMAIN: u16 = 3;

/// The servers, in the order in which they are asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Resolver<'a>(pub(super) &'a [SocketAddr]);

impl Resolver<'_> {
    /// All addresses of the wanted families, the preferred one's first.
    pub(super) async fn lookup(
        self,
        host: &str,
        preference: Preference,
    ) -> Result<Vec<IpAddr>, Failure> {
        let preferred = self.addresses(host, record_type(preference.family));
        if !preference.fallback {
            return preferred.await;
        }
        let other = match preference.family {
            Family::V4 => self.addresses(host, AAAA),
            Family::V6 => self.addresses(host, A),
        };
        let (preferred, other) = (pin!(preferred), pin!(other));
        let (preferred, other) = match select(preferred, other).await {
            // The other family is not waited for when nothing hangs on it.
            Either::Left((Ok(ips), _)) if !ips.is_empty() => return Ok(ips),
            Either::Left((preferred, other)) => (preferred, other.await),
            Either::Right((other, preferred)) => (preferred.await, other),
        };
        match (preferred, other) {
            (Ok(preferred), Ok(other)) => Ok([preferred, other].concat()),
            (Ok(ips), Err(_)) | (Err(_), Ok(ips)) if !ips.is_empty() => Ok(ips),
            (Err(failure), _) | (_, Err(failure)) => Err(failure),
        }
    }

    /// The addresses of one family, wherever aliases lead.
    async fn addresses(self, host: &str, record_type: u16) -> Result<Vec<IpAddr>, Failure> {
        let mut name = host.to_owned();
        for _ in 0..QUESTIONS_MAX {
            let wire = dns::name::to_wire(&name)
                .map_err(|why| Failure::new(Phase::Resolve, Reason::BadTarget, why))?;
            let question = Question {
                id: dns::random_id(),
                name: wire,
                record_type,
                class: IN,
                recursion_desired: true,
            };
            let answer = self.ask(&question, host).await?;
            match answer.alias {
                Some(alias) => name = alias,
                None => return Ok(answer.ips),
            }
        }
        Err(failed(Reason::ResolveFailed, host, "its aliases lead on and on"))
    }

    /// The first answer that says something, from whichever server.
    async fn ask(self, question: &Question, host: &str) -> Result<Addresses, Failure> {
        let mut last = failed(Reason::ResolveFailed, host, "the module names no DNS server");
        for _ in 0..ROUNDS {
            for server in self.0 {
                let exchange = tokio::time::timeout(WAIT, exchange(*server, question)).await;
                let why = match exchange {
                    Ok(Ok(answer)) if answer.rcode == NOERROR => return Ok(answer),
                    Ok(Ok(answer)) if answer.rcode == NXDOMAIN => {
                        let why = format!("{server} knows no such name");
                        return Err(failed(Reason::Nxdomain, host, &why));
                    }
                    Ok(Ok(answer)) => codes::name_of(codes::RCODES, answer.rcode, "RCODE"),
                    Ok(Err(err)) => err.to_string(),
                    Err(_) => format!("no answer in {} s", WAIT.as_secs()),
                };
                last = failed(Reason::ResolveFailed, host, &format!("{server}: {why}"));
            }
        }
        Err(last)
    }
}

fn record_type(family: Family) -> u16 {
    match family {
        Family::V4 => A,
        Family::V6 => AAAA,
    }
}

fn failed(reason: Reason, host: &str, why: &str) -> Failure {
    Failure::new(Phase::Resolve, reason, format!("Resolution failed: {host}: {why}"))
}

/// By datagram, and once more over a stream where the answer did not fit.
async fn exchange(server: SocketAddr, question: &Question) -> io::Result<Addresses> {
    let any: IpAddr =
        if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).await?;
    // Only this address' datagrams are taken then, and its refusals are told.
    socket.connect(server).await?;
    socket.send(&question.to_wire()).await?;
    let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
    loop {
        let n_bytes = socket.recv(&mut buffer).await?;
        // Anybody can send datagrams in somebody's name: what does not answer this question is not looked at.
        if !question.is_answered_by(&buffer[..n_bytes]) {
            continue;
        }
        if Addresses::is_cut(&buffer[..n_bytes]) {
            return over_stream(server, question).await;
        }
        return read(&buffer[..n_bytes], question);
    }
}

async fn over_stream(server: SocketAddr, question: &Question) -> io::Result<Addresses> {
    let mut stream = TcpStream::connect(server).await?;
    let query = question.to_wire();
    let mut framed = (query.len() as u16).to_be_bytes().to_vec();
    framed.extend_from_slice(&query);
    stream.write_all(&framed).await?;
    let n_bytes = stream.read_u16().await?;
    let mut buffer = vec![0; usize::from(n_bytes)];
    stream.read_exact(&mut buffer).await?;
    if !question.is_answered_by(&buffer) {
        return Err(io::Error::other("the answer is not one to our question"));
    }
    read(&buffer, question)
}

fn read(message: &[u8], question: &Question) -> io::Result<Addresses> {
    Addresses::read(message, &question.name)
        .map_err(|why| io::Error::other(format!("the answer cannot be read: {why}")))
}
