//! Fields and cookies of requests and answers that the log has, too (HAProxy manual, "capture request header",
//! "capture response header", "capture cookie").
//!
//! Promises: of each field the last line, cut to its length; so what a line of the log may grow by is configured.

/// What is captured.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Capture {
    /// Fields of requests.
    pub request: Vec<Field>,
    /// Fields of answers.
    pub response: Vec<Field>,
    /// The cookie whose name begins so, or is so if it ends in `=`.
    pub cookie: Option<Field>,
}

/// One thing that is captured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// So many bytes of it at most; of a cookie with its name.
    pub len: usize,
}

/// What was captured. What was not there is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    request: Vec<Vec<u8>>,
    response: Vec<Vec<u8>>,
    request_cookie: Vec<u8>,
    response_cookie: Vec<u8>,
}

/// What a record says of it.
#[derive(Clone, Copy, Debug)]
pub struct Captured<'a> {
    /// What is captured.
    pub capture: &'a Capture,
    /// What was; `None` where it did not come to that.
    pub taken: Option<&'a Taken>,
}

impl Capture {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// From a request: `last` is the last line of a field, `cookies` its `Cookie` lines.
    pub fn request<'a>(
        &self,
        last: impl Fn(&str) -> Option<&'a [u8]>,
        cookies: impl Iterator<Item = &'a [u8]>,
    ) -> Taken {
        let crumbs = cookies.flat_map(|line| line.split(|byte| *byte == b';'));
        Taken {
            request: fields(&self.request, last),
            request_cookie: self.cookie(crumbs),
            ..Taken::default()
        }
    }

    /// From its answer: `cookies` are its `Set-Cookie` lines.
    pub fn response<'a>(
        &self,
        taken: &mut Taken,
        last: impl Fn(&str) -> Option<&'a [u8]>,
        cookies: impl Iterator<Item = &'a [u8]>,
    ) {
        taken.response = fields(&self.response, last);
        taken.response_cookie =
            self.cookie(cookies.filter_map(|line| line.split(|byte| *byte == b';').next()));
    }

    fn cookie<'a>(&self, mut crumbs: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
        let Some(field) = &self.cookie else { return Vec::new() };
        let crumb = crumbs.find_map(|crumb| {
            let crumb = crumb.trim_ascii();
            crumb.starts_with(field.name.as_bytes()).then_some(crumb)
        });
        crumb.map(|crumb| cut(crumb, field.len)).unwrap_or_default()
    }
}

impl<'a> Captured<'a> {
    /// Each field of the request with its value.
    pub fn request(self) -> impl Iterator<Item = (&'a str, &'a [u8])> {
        paired(&self.capture.request, self.taken.map(|taken| taken.request.as_slice()))
    }

    /// Each field of the answer with its value.
    pub fn response(self) -> impl Iterator<Item = (&'a str, &'a [u8])> {
        paired(&self.capture.response, self.taken.map(|taken| taken.response.as_slice()))
    }

    /// The cookie of the request.
    pub fn request_cookie(self) -> Option<&'a [u8]> {
        self.taken.map(|taken| taken.request_cookie.as_slice()).filter(|cookie| !cookie.is_empty())
    }

    /// The cookie of the answer.
    pub fn response_cookie(self) -> Option<&'a [u8]> {
        self.taken.map(|taken| taken.response_cookie.as_slice()).filter(|cookie| !cookie.is_empty())
    }
}

fn paired<'a>(
    fields: &'a [Field],
    taken: Option<&'a [Vec<u8>]>,
) -> impl Iterator<Item = (&'a str, &'a [u8])> {
    let value = move |place| taken.and_then(|taken| taken.get(place)).map(Vec::as_slice).unwrap_or_default();
    fields.iter().enumerate().map(move |(place, field)| (field.name.as_str(), value(place)))
}

fn fields<'a>(fields: &[Field], last: impl Fn(&str) -> Option<&'a [u8]>) -> Vec<Vec<u8>> {
    fields
        .iter()
        .map(|field| last(&field.name).map(|value| cut(value, field.len)).unwrap_or_default())
        .collect()
}

fn cut(value: &[u8], len: usize) -> Vec<u8> {
    value.get(..len).unwrap_or(value).to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(name: &str, len: usize) -> Field {
        Field { name: name.to_owned(), len }
    }

    #[test]
    fn what_is_there_is_cut_to_its_length_and_what_is_not_is_empty() {
        let capture = Capture {
            request: vec![field("host", 4), field("x", 9)],
            response: vec![field("server", 20)],
            cookie: Some(field("SID", 6)),
        };
        let host = |name: &str| (name == "host").then_some(b"api.example".as_slice());
        let mut taken = capture.request(host, [b"a=1; SIDX=secret".as_slice()].into_iter());
        capture.response(&mut taken, |_| Some(b"nginx"), [b"SID=1; Path=/".as_slice()].into_iter());
        let told = Captured { capture: &capture, taken: Some(&taken) };
        assert_eq!(told.request().collect::<Vec<_>>(), [("host", b"api.".as_slice()), ("x", b"")]);
        assert_eq!(told.response().collect::<Vec<_>>(), [("server", b"nginx".as_slice())]);
        assert_eq!(
            (told.request_cookie(), told.response_cookie()),
            (Some(b"SIDX=s".as_slice()), Some(b"SID=1".as_slice()))
        );
        let nothing = Captured { capture: &capture, taken: None };
        assert_eq!((nothing.request().count(), nothing.request_cookie()), (2, None));
        assert!(!capture.is_empty() && Capture::default().is_empty());
    }
}
