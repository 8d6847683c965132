-- Bearer tokens: who may write, read or administer over HTTP.
--
-- Only a SHA-256 of each token is kept. A slow hash (bcrypt, argon2) makes guessing a password dear; a token of 256 random
-- bits cannot be guessed at any price, and it is checked with each request.
CREATE TABLE watchpost.token (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- For people: what to revoke when the machine that had it is gone.
    name text NOT NULL
        CONSTRAINT token_name_key UNIQUE
        CONSTRAINT token_name_check CHECK (char_length(name) BETWEEN 1 AND 100),
    -- The words are those of the program; one that it does not know gives no right.
    scopes text[] NOT NULL CONSTRAINT token_scopes_check CHECK (cardinality(scopes) > 0),
    hash bytea NOT NULL
        CONSTRAINT token_hash_key UNIQUE
        CONSTRAINT token_hash_check CHECK (octet_length(hash) = 32),
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz,
    -- To within some minutes: not every request is worth a write.
    last_used_at timestamptz
);
