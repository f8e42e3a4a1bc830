//! Git's requests over HTTP and HTTPS; never follows a redirect, never takes more bytes than agreed, and
//! never shows what credentials it sent.

use std::any::Any;
use std::io::{self, BufRead, Cursor, Read, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use gix::protocol::transport::client::blocking_io::http::{
    GetResponse, Http, PostBodyDataKind, PostResponse,
};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::{Method, Request, Response, StatusCode};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::runtime::Handle;

use crate::client::innermost;
use crate::proxy::asked_directly;
use crate::style::safe;

/// A client with the certificates of this machine.
#[derive(Clone, Debug)]
pub(super) struct GitWeb {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    runtime: Handle,
}

impl GitWeb {
    /// To be called within a runtime, which then drives the connections.
    pub(super) fn new() -> io::Result<Self> {
        let connector = HttpsConnectorBuilder::new()
            .with_provider_and_native_roots(rustls::crypto::ring::default_provider())?
            .https_or_http()
            .enable_http1()
            .build();
        let client = Client::builder(TokioExecutor::new()).build(connector);
        Ok(Self { client, runtime: Handle::current() })
    }
}

/// All requests of one fetch.
#[derive(Debug)]
pub(super) struct Exchanges {
    web: GitWeb,
    deadline: Instant,
    budget: Arc<Mutex<u64>>,
    said: Said,
}

/// The sentence about what went wrong, which is better than what git's protocol makes of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Said(Arc<Mutex<Option<String>>>);

impl Said {
    pub(super) fn take(&self) -> Option<String> {
        locked(&self.0).take()
    }

    fn fault(&self, message: String) -> io::Error {
        *locked(&self.0) = Some(message.clone());
        io::Error::other(message)
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Exchanges {
    pub(super) fn new(web: &GitWeb, deadline: Instant, bytes_max: u64) -> Self {
        let budget = Arc::new(Mutex::new(bytes_max));
        Self { web: web.clone(), deadline, budget, said: Said::default() }
    }

    pub(super) fn said(&self) -> Said {
        self.said.clone()
    }

    fn exchange<S: AsRef<str>>(
        &self,
        method: Method,
        url: &str,
        headers: impl IntoIterator<Item = S>,
    ) -> Shared {
        let split = |line: S| {
            let (name, value) = line.as_ref().split_once(':')?;
            Some((name.trim().to_owned(), value.trim().to_owned()))
        };
        Arc::new(Mutex::new(Exchange {
            web: self.web.clone(),
            deadline: self.deadline,
            budget: self.budget.clone(),
            said: self.said.clone(),
            method,
            url: url.to_owned(),
            headers: headers.into_iter().filter_map(split).collect(),
            sent: Vec::new(),
            answer: None,
        }))
    }
}

impl Http for Exchanges {
    type Headers = Head;
    type ResponseBody = Body;
    type PostBody = Sending;

    fn get(
        &mut self,
        url: &str,
        _base_url: &str,
        headers: impl IntoIterator<Item = impl AsRef<str>>,
    ) -> gix::Result<GetResponse<Head, Body>> {
        let exchange = self.exchange(Method::GET, url, headers);
        locked(&exchange).answered().map_err(gix::Error::from_error)?;
        Ok(GetResponse { headers: Head::of(&exchange), body: Body::of(&exchange) })
    }

    fn post(
        &mut self,
        url: &str,
        _base_url: &str,
        headers: impl IntoIterator<Item = impl AsRef<str>>,
        _kind: PostBodyDataKind,
    ) -> gix::Result<PostResponse<Head, Body, Sending>> {
        let exchange = self.exchange(Method::POST, url, headers);
        let post_body = Sending(exchange.clone());
        Ok(PostResponse { post_body, headers: Head::of(&exchange), body: Body::of(&exchange) })
    }

    fn configure(&mut self, _config: &dyn Any) -> gix::Result {
        Ok(())
    }
}

type Shared = Arc<Mutex<Exchange>>;

/// One request, sent when its answer is first read.
#[derive(Debug)]
struct Exchange {
    web: GitWeb,
    deadline: Instant,
    budget: Arc<Mutex<u64>>,
    said: Said,
    method: Method,
    url: String,
    headers: Vec<(String, String)>,
    sent: Vec<u8>,
    answer: Option<Response<Incoming>>,
}

impl Exchange {
    fn answered(&mut self) -> io::Result<&mut Response<Incoming>> {
        if self.answer.is_none() {
            let response = self.send()?;
            self.answer = Some(response);
        }
        self.answer.as_mut().ok_or_else(|| io::Error::other("there is no answer"))
    }

    fn send(&mut self) -> io::Result<Response<Incoming>> {
        let mut request = Request::builder().method(self.method.clone()).uri(&self.url);
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let body = Full::from(std::mem::take(&mut self.sent));
        let request = request.body(body).map_err(io::Error::other)?;
        let answer = self.in_time(self.web.client.request(request))?;
        let response = answer.map_err(|error| {
            let why = innermost(&error);
            self.said.fault(asked_directly(format!("the server cannot be reached: {why}")))
        })?;
        match refusal(&response) {
            None => Ok(response),
            Some(why) => Err(self.said.fault(why)),
        }
    }

    fn chunk(&mut self) -> io::Result<Bytes> {
        loop {
            let (deadline, runtime) = (self.deadline, self.web.runtime.clone());
            let said = self.said.clone();
            let frame = self.answered()?.body_mut().frame();
            let frame =
                runtime.block_on(async { tokio::time::timeout_at(deadline.into(), frame).await });
            let frame = frame.map_err(|_| said.fault(LATE.to_owned()))?;
            let Some(frame) = frame else { return Ok(Bytes::new()) };
            let frame = frame.map_err(|error| {
                said.fault(format!("the server broke off: {}", innermost(&error)))
            })?;
            // Trailers, and empty chunks, are no end.
            if let Ok(data) = frame.into_data()
                && !data.is_empty()
            {
                self.spend(data.len())?;
                return Ok(data);
            }
        }
    }

    fn spend(&self, bytes: usize) -> io::Result<()> {
        let mut budget = locked(&self.budget);
        match budget.checked_sub(u64::try_from(bytes).unwrap_or(u64::MAX)) {
            Some(left) => *budget = left,
            None => {
                return Err(self.said.fault(
                    "the server sent more than 256 MiB, which is no repository of manifests"
                        .to_owned(),
                ));
            }
        }
        Ok(())
    }

    fn in_time<T>(&self, future: impl Future<Output = T>) -> io::Result<T> {
        let timed = async { tokio::time::timeout_at(self.deadline.into(), future).await };
        let late = |_| self.said.fault(asked_directly(LATE.to_owned()));
        self.web.runtime.block_on(timed).map_err(late)
    }
}

const LATE: &str = "the server did not answer in time: raise git.timeout, or see to the server";

/// Why an answer is none, and what to do.
fn refusal(response: &Response<Incoming>) -> Option<String> {
    let status = response.status();
    let why = match status {
        status if status.is_success() => return None,
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            "it refuses the credentials, or wants some: see to git.credentials and what the token may \
             read"
        }
        StatusCode::NOT_FOUND | StatusCode::GONE => {
            "there is no such repository, or the token may not see it: see to git.url and \
             git.credentials"
        }
        StatusCode::TOO_MANY_REQUESTS => "it is asked too often: raise git.interval",
        status if status.is_redirection() => return Some(moved(response)),
        _ => "see to the server",
    };
    Some(format!("the server answered {status}: {why}"))
}

fn moved(response: &Response<Incoming>) -> String {
    let to = response.headers().get(hyper::header::LOCATION).and_then(|to| to.to_str().ok());
    let to = to.unwrap_or_default();
    let to = to.split(['?', '#']).next().unwrap_or_default();
    let to = to.strip_suffix("/info/refs").unwrap_or(to);
    let to = if to.contains('@') { "elsewhere" } else { to };
    format!(
        "the repository moved to {}: name that in git.url; redirects are not followed",
        safe(to)
    )
}

/// What is posted.
#[derive(Debug)]
pub(super) struct Sending(Shared);

impl Write for Sending {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        locked(&self.0).sent.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The headers of an answer, one a line.
#[derive(Debug)]
pub(super) struct Head {
    exchange: Shared,
    text: Option<Cursor<Vec<u8>>>,
}

impl Head {
    fn of(exchange: &Shared) -> Self {
        Self { exchange: exchange.clone(), text: None }
    }

    fn text(&mut self) -> io::Result<&mut Cursor<Vec<u8>>> {
        if self.text.is_none() {
            let mut text = Vec::new();
            for (name, value) in locked(&self.exchange).answered()?.headers() {
                text.extend_from_slice(name.as_str().as_bytes());
                text.extend_from_slice(b": ");
                text.extend_from_slice(value.as_bytes());
                text.push(b'\n');
            }
            self.text = Some(Cursor::new(text));
        }
        self.text.as_mut().ok_or_else(|| io::Error::other("there are no headers"))
    }
}

impl Read for Head {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.text()?.read(into)
    }
}

impl BufRead for Head {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.text()?.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        if let Some(text) = &mut self.text {
            text.consume(amount);
        }
    }
}

/// What was answered, as it comes.
#[derive(Debug)]
pub(super) struct Body {
    exchange: Shared,
    chunk: Cursor<Bytes>,
}

impl Body {
    fn of(exchange: &Shared) -> Self {
        Self { exchange: exchange.clone(), chunk: Cursor::new(Bytes::new()) }
    }
}

impl Read for Body {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let mut available = self.fill_buf()?;
        let read = available.read(into)?;
        self.consume(read);
        Ok(read)
    }
}

impl BufRead for Body {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.chunk.fill_buf()?.is_empty() {
            self.chunk = Cursor::new(locked(&self.exchange).chunk()?);
        }
        self.chunk.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        self.chunk.consume(amount);
    }
}
