//! URI templates (RFC 6570), as far as routing needs them: could this URI come from that template?

/// The literal parts of a template, with an expression between each two of them.
#[derive(Clone, Debug)]
pub(crate) struct Template {
    literals: Vec<Box<str>>,
}

impl Template {
    /// Reads a template; a brace without its partner is a literal.
    pub(crate) fn parse(text: &str) -> Self {
        let mut literals = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(open) = rest.find('{') {
            let Some(length) = rest[open..].find('}') else {
                break;
            };
            literal.push_str(&rest[..open]);
            literals.push(std::mem::take(&mut literal).into());
            rest = &rest[open + length + 1..];
        }
        literal.push_str(rest);
        literals.push(literal.into());
        Self { literals }
    }

    /// Whether some values of its variables give this URI.
    pub(crate) fn matches(&self, uri: &str) -> bool {
        let [first, inner @ .., last] = self.literals.as_slice() else {
            return self.literals.first().is_some_and(|only| **only == *uri);
        };
        let Some(mut rest) = uri.strip_prefix(&**first) else {
            return false;
        };
        for literal in inner {
            let Some(at) = rest.find(&**literal) else {
                return false;
            };
            rest = &rest[at + literal.len()..];
        }
        rest.ends_with(&**last)
    }

    /// How much of a URI it determines: the more, the better the match.
    pub(crate) fn weight(&self) -> usize {
        self.literals.iter().map(|literal| literal.len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uri_is_recognised_by_the_template_it_comes_from() {
        for (template, uri, expected) in [
            (
                "demo://resource/dynamic/text/{id}",
                "demo://resource/dynamic/text/7",
                true,
            ),
            (
                "demo://resource/dynamic/text/{id}",
                "demo://resource/dynamic/blob/7",
                false,
            ),
            ("file:///{+path}", "file:///a/b/c", true),
            ("db://{table}/rows/{id}", "db://users/rows/7", true),
            ("db://{table}/rows/{id}", "db://users/columns/7", false),
            ("db://{table}.csv", "db://users.csv", true),
            ("db://{table}.csv", "db://users.tsv", false),
            ("plain://x", "plain://x", true),
            ("plain://x", "plain://xy", false),
            ("odd://{x", "odd://{x", true),
        ] {
            assert_eq!(
                Template::parse(template).matches(uri),
                expected,
                "{template} {uri}"
            );
        }
    }
}
