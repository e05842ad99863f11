//! What secrets look like. Each pattern names where its shape is documented; one without a fixed shape is a guess, and says so.

/// How sure a match is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Certainty {
    /// The shape is the issuer's own.
    High,
    /// It looks like one.
    Medium,
}

/// What one kind of secret looks like.
pub(super) struct Pattern {
    /// What a reader groups by.
    pub(super) kind: &'static str,
    /// What it is, for people.
    pub(super) title: &'static str,
    pub(super) certainty: Certainty,
    /// A regular expression over bytes, without Unicode. The secret is its first group, or all of it.
    pub(super) regex: &'static str,
    /// Whether the match itself is no secret, and may be shown.
    pub(super) is_public: bool,
    /// The least entropy of the secret, in bits a byte; it also needs a letter and a digit then. 0: any.
    pub(super) entropy: f64,
}

const fn fixed(kind: &'static str, title: &'static str, regex: &'static str) -> Pattern {
    Pattern { kind, title, certainty: Certainty::High, regex, is_public: false, entropy: 0.0 }
}

/// All patterns. An earlier one wins where two match the same place.
pub(super) const PATTERNS: &[Pattern] = &[
    // RFC 7468, section 10 and 11; RFC 9580, section 6.2.1; openssh PROTOCOL.key. The line is the same for every key.
    Pattern {
        is_public: true,
        ..fixed(
            "private-key",
            "private key",
            r"-----BEGIN (?:RSA |EC |DSA |OPENSSH |ENCRYPTED |SSH2 ENCRYPTED |PGP )?PRIVATE KEY(?: BLOCK)?-----",
        )
    },
    // age-encryption.org/v1, section "The X25519 recipient type".
    fixed("age-identity", "age identity", r"\b(AGE-SECRET-KEY-1[AC-HJ-NP-Z02-9]{58})\b"),
    // AWS IAM User Guide, "IAM identifiers", "Understanding unique ID prefixes".
    fixed("aws-access-key-id", "AWS access key id", r"\b((?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16})\b"),
    // AWS IAM User Guide, "Manage access keys": 40 characters of base64, known only by the name before it.
    fixed(
        "aws-secret-access-key",
        "AWS secret access key",
        r#"(?i:aws|amazon)[a-zA-Z0-9_.\- ]{0,20}(?i:secret|sk)[a-zA-Z0-9_.\- ]{0,20}["']?[ \t]*(?::=|=>|=|:)[ \t]*["']?([A-Za-z0-9/+]{40})(?:[^A-Za-z0-9/+=]|$)"#,
    ),
    // GitHub Docs, "About authentication to GitHub", "GitHub's token formats".
    fixed("github-token", "GitHub token", r"\b(gh[pousr]_[A-Za-z0-9]{36,251}|github_pat_[A-Za-z0-9_]{82})\b"),
    // GitLab Docs, "GitLab token overview", "Token prefixes".
    fixed("gitlab-token", "GitLab token", r"\b(gl(?:pat|dt|rt|ptt|ft|soat|cbt)-[A-Za-z0-9_\-]{20,64})"),
    // Slack API docs, "Tokens" and "Sending messages using incoming webhooks".
    fixed("slack-token", "Slack token", r"\b(xox[abeoprs]-[A-Za-z0-9\-]{10,250})"),
    fixed(
        "slack-webhook",
        "Slack webhook",
        r"https://hooks\.slack\.com/(?:services|workflows|triggers)/(T[A-Z0-9]{6,12}/[A-Z0-9]{6,12}/[A-Za-z0-9]{16,32})",
    ),
    // Google Cloud docs, "Manage API keys"; "Using OAuth 2.0 for web server applications".
    fixed("google-api-key", "Google API key", r"\b(AIza[A-Za-z0-9_\-]{35})"),
    fixed("google-oauth-secret", "Google OAuth client secret", r"\b(GOCSPX-[A-Za-z0-9_\-]{28})"),
    // Stripe docs, "API keys"; "Receive Stripe events in your webhook endpoint".
    fixed("stripe-key", "Stripe key", r"\b([rs]k_(?:live|test)_[A-Za-z0-9]{16,247})\b"),
    fixed("stripe-webhook-secret", "Stripe webhook secret", r"\b(whsec_[A-Za-z0-9+/]{32,64})"),
    // Twilio docs, "API keys"; Twilio SendGrid docs, "API keys".
    fixed("sendgrid-key", "SendGrid API key", r"\b(SG\.[A-Za-z0-9_\-]{22}\.[A-Za-z0-9_\-]{43})"),
    // npm Docs, "About access tokens".
    fixed("npm-token", "npm access token", r"\b(npm_[A-Za-z0-9]{36})\b"),
    // PyPI help, "How can I use API tokens": a macaroon, whose beginning names the site.
    fixed("pypi-token", "PyPI API token", r"\b(pypi-AgEIcHlwaS5vcmc[A-Za-z0-9_\-]{50,250})"),
    // RFC 7519, section 3: two JSON objects and a signature, in base64url.
    fixed("jwt", "JSON Web Token", r"\b(eyJ[A-Za-z0-9_\-]{8,}\.eyJ[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]{16,})"),
    // RFC 3986, section 3.2.1, deprecates it, and it is everywhere.
    Pattern {
        certainty: Certainty::Medium,
        ..fixed(
            "password-in-url",
            "password in a URL",
            r#"\b[a-z][a-z0-9+.\-]{1,20}://[^\s/:@"'<>]{1,64}:([^\s/:@"'<>${}%]{4,128})@[A-Za-z0-9\[]"#,
        )
    },
    // No shape of its own: a name that says so, and a value that nobody would choose.
    Pattern {
        certainty: Certainty::Medium,
        entropy: 3.5,
        ..fixed(
            "assigned-secret",
            "value assigned to a secret's name",
            r#"(?i:api[_\-]?key|secret|token|passw(?:or)?d|pwd|credentials?|auth)[A-Za-z0-9_.\-]{0,24}["']?[ \t]*(?::=|=>|=|:)[ \t]*["']?([A-Za-z0-9+/=_\-.~]{16,200})"#,
        )
    },
];
