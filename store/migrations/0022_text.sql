-- What is typed in two ways is one: addresses of accounts, and names that are searched for.

-- In what form an address is compared: case, width and composition do not count, nor do letters of
-- other alphabets that look like Latin ones. For comparing alone; `users.email` is what is shown.
CREATE FUNCTION account_key(email text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN translate(lower(normalize(email, NFKC)),
    'авекмнорстухіјѕһԁԛԝѵӏαβεζηικμνορτυχϲϳɡıſ',
    'abekmhopctyxijshdqwvlabezhikmnoptuxcjgis');

-- Filled by the database, so that rows of older code have it as well; by 0023 for those before.
ALTER TABLE users ADD COLUMN account_key text;

CREATE FUNCTION fill_account_key() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.account_key := account_key(NEW.email);
    RETURN NEW;
END $$;
CREATE TRIGGER users_account_key BEFORE INSERT OR UPDATE OF email ON users
    FOR EACH ROW EXECUTE FUNCTION fill_account_key();

-- In what form names are searched: without case, width, accents and marks, one blank for many.
CREATE FUNCTION search_text(given text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN regexp_replace(translate(replace(replace(replace(replace(
    lower(regexp_replace(normalize(given, NFKD),
        '[\u0300-\u036f\u0483-\u0487\u0591-\u05c7\u064b-\u065f\u0670'
        '\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff]',
        '', 'g')),
    'ß', 'ss'), 'æ', 'ae'), 'œ', 'oe'), 'þ', 'th'),
    'øłđðħıŧ', 'olddhit'), '\s+', ' ', 'g');

-- What is searched for, as LIKE takes it: its wildcards mean themselves.
CREATE FUNCTION search_pattern(given text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN '%' || replace(replace(replace(search_text(given), '\', '\\'), '%', '\%'), '_', '\_') || '%';

-- Parts of words are found by the trigrams of names, where the server has them (contrib); without,
-- a search reads all names, within its time limit.
DO $$
BEGIN
    CREATE EXTENSION IF NOT EXISTS pg_trgm;
    CREATE INDEX events_by_name ON events USING gin (search_text(name) gin_trgm_ops)
        WHERE status <> 'draft';
EXCEPTION WHEN undefined_file OR feature_not_supported OR insufficient_privilege THEN
    RAISE NOTICE 'this server has no pg_trgm: a search reads all names';
END $$;
