SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;
CREATE TYPE public.booking_status AS ENUM (
    'confirmed',
    'cancelled'
);
CREATE TYPE public.event_status AS ENUM (
    'draft',
    'published',
    'closed',
    'cancelled'
);
CREATE TYPE public.quarantine_state AS ENUM (
    'held',
    'replayed',
    'discarded'
);
CREATE TYPE public.shard_state AS ENUM (
    'recovering',
    'open',
    'frozen'
);
CREATE TYPE public.user_role AS ENUM (
    'user',
    'staff',
    'organizer',
    'admin'
);
CREATE TYPE public.waitlist_policy AS ENUM (
    'strict',
    'skip'
);
CREATE TYPE public.waitlist_status AS ENUM (
    'waiting',
    'offered',
    'accepted',
    'declined',
    'expired',
    'left'
);
CREATE FUNCTION public.ensure_partition(parent text, suffix text, from_bound text, to_bound text) RETURNS void
    LANGUAGE plpgsql
    AS $$
BEGIN
    IF to_regclass(parent || '_' || suffix) IS NULL THEN
        EXECUTE format('CREATE TABLE %I PARTITION OF %I FOR VALUES FROM (%L) TO (%L)',
                       parent || '_' || suffix, parent, from_bound, to_bound);
    END IF;
EXCEPTION WHEN check_violation THEN
    RAISE NOTICE 'partition % of % not made: the rest partition has its rows', suffix, parent;
END $$;
SET default_tablespace = '';
SET default_table_access_method = heap;
CREATE TABLE public.blocked_seats (
    event_id text NOT NULL COLLATE pg_catalog."C",
    seat_id text NOT NULL COLLATE pg_catalog."C",
    tier_no smallint NOT NULL,
    blocked_at timestamp with time zone NOT NULL
);
CREATE TABLE public.bookings (
    id text NOT NULL COLLATE pg_catalog."C",
    event_id text NOT NULL COLLATE pg_catalog."C",
    user_id text NOT NULL COLLATE pg_catalog."C",
    status public.booking_status NOT NULL,
    version smallint NOT NULL,
    total_minor bigint NOT NULL,
    shard smallint NOT NULL,
    epoch bigint NOT NULL,
    seq bigint NOT NULL,
    created_at timestamp with time zone NOT NULL,
    cancelled_at timestamp with time zone,
    fingerprint text NOT NULL,
    special_requests text,
    metadata jsonb,
    cuts text,
    promo_code text GENERATED ALWAYS AS ("substring"(fingerprint, '~([A-Z0-9_-]+)$'::text)) STORED,
    cancelled_epoch bigint,
    cancelled_seq bigint,
    CONSTRAINT bookings_check CHECK (((status = 'cancelled'::public.booking_status) = (cancelled_at IS NOT NULL))),
    CONSTRAINT bookings_total_minor_check CHECK ((total_minor >= 0)),
    CONSTRAINT bookings_version_check CHECK ((version >= 1))
)
PARTITION BY RANGE (event_id);
CREATE TABLE public.bookings_rest (
    id text CONSTRAINT bookings_id_not_null NOT NULL COLLATE pg_catalog."C",
    event_id text CONSTRAINT bookings_event_id_not_null NOT NULL COLLATE pg_catalog."C",
    user_id text CONSTRAINT bookings_user_id_not_null NOT NULL COLLATE pg_catalog."C",
    status public.booking_status CONSTRAINT bookings_status_not_null NOT NULL,
    version smallint CONSTRAINT bookings_version_not_null NOT NULL,
    total_minor bigint CONSTRAINT bookings_total_minor_not_null NOT NULL,
    shard smallint CONSTRAINT bookings_shard_not_null NOT NULL,
    epoch bigint CONSTRAINT bookings_epoch_not_null NOT NULL,
    seq bigint CONSTRAINT bookings_seq_not_null NOT NULL,
    created_at timestamp with time zone CONSTRAINT bookings_created_at_not_null NOT NULL,
    cancelled_at timestamp with time zone,
    fingerprint text CONSTRAINT bookings_fingerprint_not_null NOT NULL,
    special_requests text,
    metadata jsonb,
    cuts text,
    promo_code text GENERATED ALWAYS AS ("substring"(fingerprint, '~([A-Z0-9_-]+)$'::text)) STORED,
    cancelled_epoch bigint,
    cancelled_seq bigint,
    CONSTRAINT bookings_check CHECK (((status = 'cancelled'::public.booking_status) = (cancelled_at IS NOT NULL))),
    CONSTRAINT bookings_total_minor_check CHECK ((total_minor >= 0)),
    CONSTRAINT bookings_version_check CHECK ((version >= 1))
);
CREATE TABLE public.bookings_y2026 (
    id text CONSTRAINT bookings_id_not_null NOT NULL COLLATE pg_catalog."C",
    event_id text CONSTRAINT bookings_event_id_not_null NOT NULL COLLATE pg_catalog."C",
    user_id text CONSTRAINT bookings_user_id_not_null NOT NULL COLLATE pg_catalog."C",
    status public.booking_status CONSTRAINT bookings_status_not_null NOT NULL,
    version smallint CONSTRAINT bookings_version_not_null NOT NULL,
    total_minor bigint CONSTRAINT bookings_total_minor_not_null NOT NULL,
    shard smallint CONSTRAINT bookings_shard_not_null NOT NULL,
    epoch bigint CONSTRAINT bookings_epoch_not_null NOT NULL,
    seq bigint CONSTRAINT bookings_seq_not_null NOT NULL,
    created_at timestamp with time zone CONSTRAINT bookings_created_at_not_null NOT NULL,
    cancelled_at timestamp with time zone,
    fingerprint text CONSTRAINT bookings_fingerprint_not_null NOT NULL,
    special_requests text,
    metadata jsonb,
    cuts text,
    promo_code text GENERATED ALWAYS AS ("substring"(fingerprint, '~([A-Z0-9_-]+)$'::text)) STORED,
    cancelled_epoch bigint,
    cancelled_seq bigint,
    CONSTRAINT bookings_check CHECK (((status = 'cancelled'::public.booking_status) = (cancelled_at IS NOT NULL))),
    CONSTRAINT bookings_total_minor_check CHECK ((total_minor >= 0)),
    CONSTRAINT bookings_version_check CHECK ((version >= 1))
);
CREATE TABLE public.bookings_y2027 (
    id text CONSTRAINT bookings_id_not_null NOT NULL COLLATE pg_catalog."C",
    event_id text CONSTRAINT bookings_event_id_not_null NOT NULL COLLATE pg_catalog."C",
    user_id text CONSTRAINT bookings_user_id_not_null NOT NULL COLLATE pg_catalog."C",
    status public.booking_status CONSTRAINT bookings_status_not_null NOT NULL,
    version smallint CONSTRAINT bookings_version_not_null NOT NULL,
    total_minor bigint CONSTRAINT bookings_total_minor_not_null NOT NULL,
    shard smallint CONSTRAINT bookings_shard_not_null NOT NULL,
    epoch bigint CONSTRAINT bookings_epoch_not_null NOT NULL,
    seq bigint CONSTRAINT bookings_seq_not_null NOT NULL,
    created_at timestamp with time zone CONSTRAINT bookings_created_at_not_null NOT NULL,
    cancelled_at timestamp with time zone,
    fingerprint text CONSTRAINT bookings_fingerprint_not_null NOT NULL,
    special_requests text,
    metadata jsonb,
    cuts text,
    promo_code text GENERATED ALWAYS AS ("substring"(fingerprint, '~([A-Z0-9_-]+)$'::text)) STORED,
    cancelled_epoch bigint,
    cancelled_seq bigint,
    CONSTRAINT bookings_check CHECK (((status = 'cancelled'::public.booking_status) = (cancelled_at IS NOT NULL))),
    CONSTRAINT bookings_total_minor_check CHECK ((total_minor >= 0)),
    CONSTRAINT bookings_version_check CHECK ((version >= 1))
);
CREATE TABLE public.bookings_y2028 (
    id text CONSTRAINT bookings_id_not_null NOT NULL COLLATE pg_catalog."C",
    event_id text CONSTRAINT bookings_event_id_not_null NOT NULL COLLATE pg_catalog."C",
    user_id text CONSTRAINT bookings_user_id_not_null NOT NULL COLLATE pg_catalog."C",
    status public.booking_status CONSTRAINT bookings_status_not_null NOT NULL,
    version smallint CONSTRAINT bookings_version_not_null NOT NULL,
    total_minor bigint CONSTRAINT bookings_total_minor_not_null NOT NULL,
    shard smallint CONSTRAINT bookings_shard_not_null NOT NULL,
    epoch bigint CONSTRAINT bookings_epoch_not_null NOT NULL,
    seq bigint CONSTRAINT bookings_seq_not_null NOT NULL,
    created_at timestamp with time zone CONSTRAINT bookings_created_at_not_null NOT NULL,
    cancelled_at timestamp with time zone,
    fingerprint text CONSTRAINT bookings_fingerprint_not_null NOT NULL,
    special_requests text,
    metadata jsonb,
    cuts text,
    promo_code text GENERATED ALWAYS AS ("substring"(fingerprint, '~([A-Z0-9_-]+)$'::text)) STORED,
    cancelled_epoch bigint,
    cancelled_seq bigint,
    CONSTRAINT bookings_check CHECK (((status = 'cancelled'::public.booking_status) = (cancelled_at IS NOT NULL))),
    CONSTRAINT bookings_total_minor_check CHECK ((total_minor >= 0)),
    CONSTRAINT bookings_version_check CHECK ((version >= 1))
);
CREATE TABLE public.bookings_y2029 (
    id text CONSTRAINT bookings_id_not_null NOT NULL COLLATE pg_catalog."C",
    event_id text CONSTRAINT bookings_event_id_not_null NOT NULL COLLATE pg_catalog."C",
    user_id text CONSTRAINT bookings_user_id_not_null NOT NULL COLLATE pg_catalog."C",
    status public.booking_status CONSTRAINT bookings_status_not_null NOT NULL,
    version smallint CONSTRAINT bookings_version_not_null NOT NULL,
    total_minor bigint CONSTRAINT bookings_total_minor_not_null NOT NULL,
    shard smallint CONSTRAINT bookings_shard_not_null NOT NULL,
    epoch bigint CONSTRAINT bookings_epoch_not_null NOT NULL,
    seq bigint CONSTRAINT bookings_seq_not_null NOT NULL,
    created_at timestamp with time zone CONSTRAINT bookings_created_at_not_null NOT NULL,
    cancelled_at timestamp with time zone,
    fingerprint text CONSTRAINT bookings_fingerprint_not_null NOT NULL,
    special_requests text,
    metadata jsonb,
    cuts text,
    promo_code text GENERATED ALWAYS AS ("substring"(fingerprint, '~([A-Z0-9_-]+)$'::text)) STORED,
    cancelled_epoch bigint,
    cancelled_seq bigint,
    CONSTRAINT bookings_check CHECK (((status = 'cancelled'::public.booking_status) = (cancelled_at IS NOT NULL))),
    CONSTRAINT bookings_total_minor_check CHECK ((total_minor >= 0)),
    CONSTRAINT bookings_version_check CHECK ((version >= 1))
);
CREATE TABLE public.conflicts (
    id bigint NOT NULL,
    shard smallint NOT NULL,
    epoch bigint NOT NULL,
    seq bigint NOT NULL,
    record text NOT NULL,
    reason text NOT NULL,
    found_at timestamp with time zone DEFAULT now() NOT NULL
);
ALTER TABLE public.conflicts ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.conflicts_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.events (
    id text NOT NULL COLLATE pg_catalog."C",
    organizer_id text NOT NULL COLLATE pg_catalog."C",
    shard smallint NOT NULL,
    status public.event_status DEFAULT 'draft'::public.event_status NOT NULL,
    name text NOT NULL,
    description text DEFAULT ''::text NOT NULL,
    category text DEFAULT ''::text NOT NULL,
    venue text DEFAULT ''::text NOT NULL,
    timezone text NOT NULL,
    currency text NOT NULL,
    starts_at timestamp with time zone NOT NULL,
    ends_at timestamp with time zone NOT NULL,
    sale_opens_at timestamp with time zone NOT NULL,
    sale_closes_at timestamp with time zone NOT NULL,
    person_max integer NOT NULL,
    version integer DEFAULT 1 NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    published_at timestamp with time zone,
    waitlist_policy public.waitlist_policy DEFAULT 'strict'::public.waitlist_policy NOT NULL,
    waitlist_patience_ms bigint DEFAULT 900000 NOT NULL,
    cancelled_at timestamp with time zone,
    CONSTRAINT events_category_check CHECK ((length(category) <= 100)),
    CONSTRAINT events_check CHECK ((ends_at >= starts_at)),
    CONSTRAINT events_currency_check CHECK ((currency ~ '^[A-Z]{3}$'::text)),
    CONSTRAINT events_description_check CHECK ((length(description) <= 10000)),
    CONSTRAINT events_id_check CHECK ((id ~ '^evt_[0-9a-v]{26}$'::text)),
    CONSTRAINT events_name_check CHECK (((length(name) >= 1) AND (length(name) <= 200))),
    CONSTRAINT events_person_max_check CHECK (((person_max >= 1) AND (person_max <= 1000))),
    CONSTRAINT events_shard_check CHECK ((shard >= 0)),
    CONSTRAINT events_venue_check CHECK ((length(venue) <= 200)),
    CONSTRAINT events_waitlist_patience_ms_check CHECK (((waitlist_patience_ms >= 0) AND (waitlist_patience_ms <= '2592000000'::bigint)))
);
CREATE TABLE public.items (
    event_id text NOT NULL COLLATE pg_catalog."C",
    booking_id text NOT NULL COLLATE pg_catalog."C",
    line smallint NOT NULL,
    tier_no smallint NOT NULL,
    quantity smallint NOT NULL,
    unit_price_minor bigint NOT NULL,
    seat_ids text DEFAULT ''::text NOT NULL,
    CONSTRAINT items_line_check CHECK (((line >= 1) AND (line <= 10))),
    CONSTRAINT items_quantity_check CHECK (((quantity >= 1) AND (quantity <= 10))),
    CONSTRAINT items_unit_price_minor_check CHECK ((unit_price_minor >= 0))
)
PARTITION BY RANGE (event_id);
CREATE TABLE public.items_rest (
    event_id text CONSTRAINT items_event_id_not_null NOT NULL COLLATE pg_catalog."C",
    booking_id text CONSTRAINT items_booking_id_not_null NOT NULL COLLATE pg_catalog."C",
    line smallint CONSTRAINT items_line_not_null NOT NULL,
    tier_no smallint CONSTRAINT items_tier_no_not_null NOT NULL,
    quantity smallint CONSTRAINT items_quantity_not_null NOT NULL,
    unit_price_minor bigint CONSTRAINT items_unit_price_minor_not_null NOT NULL,
    seat_ids text DEFAULT ''::text CONSTRAINT items_seat_ids_not_null NOT NULL,
    CONSTRAINT items_line_check CHECK (((line >= 1) AND (line <= 10))),
    CONSTRAINT items_quantity_check CHECK (((quantity >= 1) AND (quantity <= 10))),
    CONSTRAINT items_unit_price_minor_check CHECK ((unit_price_minor >= 0))
);
CREATE TABLE public.items_y2026 (
    event_id text CONSTRAINT items_event_id_not_null NOT NULL COLLATE pg_catalog."C",
    booking_id text CONSTRAINT items_booking_id_not_null NOT NULL COLLATE pg_catalog."C",
    line smallint CONSTRAINT items_line_not_null NOT NULL,
    tier_no smallint CONSTRAINT items_tier_no_not_null NOT NULL,
    quantity smallint CONSTRAINT items_quantity_not_null NOT NULL,
    unit_price_minor bigint CONSTRAINT items_unit_price_minor_not_null NOT NULL,
    seat_ids text DEFAULT ''::text CONSTRAINT items_seat_ids_not_null NOT NULL,
    CONSTRAINT items_line_check CHECK (((line >= 1) AND (line <= 10))),
    CONSTRAINT items_quantity_check CHECK (((quantity >= 1) AND (quantity <= 10))),
    CONSTRAINT items_unit_price_minor_check CHECK ((unit_price_minor >= 0))
);
CREATE TABLE public.items_y2027 (
    event_id text CONSTRAINT items_event_id_not_null NOT NULL COLLATE pg_catalog."C",
    booking_id text CONSTRAINT items_booking_id_not_null NOT NULL COLLATE pg_catalog."C",
    line smallint CONSTRAINT items_line_not_null NOT NULL,
    tier_no smallint CONSTRAINT items_tier_no_not_null NOT NULL,
    quantity smallint CONSTRAINT items_quantity_not_null NOT NULL,
    unit_price_minor bigint CONSTRAINT items_unit_price_minor_not_null NOT NULL,
    seat_ids text DEFAULT ''::text CONSTRAINT items_seat_ids_not_null NOT NULL,
    CONSTRAINT items_line_check CHECK (((line >= 1) AND (line <= 10))),
    CONSTRAINT items_quantity_check CHECK (((quantity >= 1) AND (quantity <= 10))),
    CONSTRAINT items_unit_price_minor_check CHECK ((unit_price_minor >= 0))
);
CREATE TABLE public.items_y2028 (
    event_id text CONSTRAINT items_event_id_not_null NOT NULL COLLATE pg_catalog."C",
    booking_id text CONSTRAINT items_booking_id_not_null NOT NULL COLLATE pg_catalog."C",
    line smallint CONSTRAINT items_line_not_null NOT NULL,
    tier_no smallint CONSTRAINT items_tier_no_not_null NOT NULL,
    quantity smallint CONSTRAINT items_quantity_not_null NOT NULL,
    unit_price_minor bigint CONSTRAINT items_unit_price_minor_not_null NOT NULL,
    seat_ids text DEFAULT ''::text CONSTRAINT items_seat_ids_not_null NOT NULL,
    CONSTRAINT items_line_check CHECK (((line >= 1) AND (line <= 10))),
    CONSTRAINT items_quantity_check CHECK (((quantity >= 1) AND (quantity <= 10))),
    CONSTRAINT items_unit_price_minor_check CHECK ((unit_price_minor >= 0))
);
CREATE TABLE public.items_y2029 (
    event_id text CONSTRAINT items_event_id_not_null NOT NULL COLLATE pg_catalog."C",
    booking_id text CONSTRAINT items_booking_id_not_null NOT NULL COLLATE pg_catalog."C",
    line smallint CONSTRAINT items_line_not_null NOT NULL,
    tier_no smallint CONSTRAINT items_tier_no_not_null NOT NULL,
    quantity smallint CONSTRAINT items_quantity_not_null NOT NULL,
    unit_price_minor bigint CONSTRAINT items_unit_price_minor_not_null NOT NULL,
    seat_ids text DEFAULT ''::text CONSTRAINT items_seat_ids_not_null NOT NULL,
    CONSTRAINT items_line_check CHECK (((line >= 1) AND (line <= 10))),
    CONSTRAINT items_quantity_check CHECK (((quantity >= 1) AND (quantity <= 10))),
    CONSTRAINT items_unit_price_minor_check CHECK ((unit_price_minor >= 0))
);
CREATE TABLE public.journal (
    shard smallint NOT NULL,
    epoch bigint NOT NULL,
    first_seq bigint NOT NULL,
    last_seq bigint NOT NULL,
    first_at timestamp with time zone NOT NULL,
    records text NOT NULL,
    CONSTRAINT journal_check CHECK ((last_seq >= first_seq))
)
PARTITION BY RANGE (first_at);
CREATE TABLE public.journal_rest (
    shard smallint CONSTRAINT journal_shard_not_null NOT NULL,
    epoch bigint CONSTRAINT journal_epoch_not_null NOT NULL,
    first_seq bigint CONSTRAINT journal_first_seq_not_null NOT NULL,
    last_seq bigint CONSTRAINT journal_last_seq_not_null NOT NULL,
    first_at timestamp with time zone CONSTRAINT journal_first_at_not_null NOT NULL,
    records text CONSTRAINT journal_records_not_null NOT NULL,
    CONSTRAINT journal_check CHECK ((last_seq >= first_seq))
);
CREATE TABLE public.journal_y2026 (
    shard smallint CONSTRAINT journal_shard_not_null NOT NULL,
    epoch bigint CONSTRAINT journal_epoch_not_null NOT NULL,
    first_seq bigint CONSTRAINT journal_first_seq_not_null NOT NULL,
    last_seq bigint CONSTRAINT journal_last_seq_not_null NOT NULL,
    first_at timestamp with time zone CONSTRAINT journal_first_at_not_null NOT NULL,
    records text CONSTRAINT journal_records_not_null NOT NULL,
    CONSTRAINT journal_check CHECK ((last_seq >= first_seq))
);
CREATE TABLE public.journal_y2027 (
    shard smallint CONSTRAINT journal_shard_not_null NOT NULL,
    epoch bigint CONSTRAINT journal_epoch_not_null NOT NULL,
    first_seq bigint CONSTRAINT journal_first_seq_not_null NOT NULL,
    last_seq bigint CONSTRAINT journal_last_seq_not_null NOT NULL,
    first_at timestamp with time zone CONSTRAINT journal_first_at_not_null NOT NULL,
    records text CONSTRAINT journal_records_not_null NOT NULL,
    CONSTRAINT journal_check CHECK ((last_seq >= first_seq))
);
CREATE TABLE public.journal_y2028 (
    shard smallint CONSTRAINT journal_shard_not_null NOT NULL,
    epoch bigint CONSTRAINT journal_epoch_not_null NOT NULL,
    first_seq bigint CONSTRAINT journal_first_seq_not_null NOT NULL,
    last_seq bigint CONSTRAINT journal_last_seq_not_null NOT NULL,
    first_at timestamp with time zone CONSTRAINT journal_first_at_not_null NOT NULL,
    records text CONSTRAINT journal_records_not_null NOT NULL,
    CONSTRAINT journal_check CHECK ((last_seq >= first_seq))
);
CREATE TABLE public.journal_y2029 (
    shard smallint CONSTRAINT journal_shard_not_null NOT NULL,
    epoch bigint CONSTRAINT journal_epoch_not_null NOT NULL,
    first_seq bigint CONSTRAINT journal_first_seq_not_null NOT NULL,
    last_seq bigint CONSTRAINT journal_last_seq_not_null NOT NULL,
    first_at timestamp with time zone CONSTRAINT journal_first_at_not_null NOT NULL,
    records text CONSTRAINT journal_records_not_null NOT NULL,
    CONSTRAINT journal_check CHECK ((last_seq >= first_seq))
);
CREATE TABLE public.migrations (
    name text NOT NULL,
    sha256 text NOT NULL,
    applied_at timestamp with time zone DEFAULT now() NOT NULL
);
CREATE TABLE public.organizers (
    id text NOT NULL COLLATE pg_catalog."C",
    name text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT organizers_id_check CHECK ((id ~ '^org_[0-9a-v]{26}$'::text)),
    CONSTRAINT organizers_name_check CHECK (((length(name) >= 1) AND (length(name) <= 200)))
);
CREATE TABLE public.outbox (
    id bigint NOT NULL,
    kind text NOT NULL,
    event_id text NOT NULL COLLATE pg_catalog."C",
    user_id text NOT NULL COLLATE pg_catalog."C",
    subject_id text NOT NULL COLLATE pg_catalog."C",
    shard smallint NOT NULL,
    epoch bigint NOT NULL,
    seq bigint NOT NULL,
    written_at timestamp with time zone DEFAULT now() NOT NULL,
    sent_at timestamp with time zone
);
ALTER TABLE public.outbox ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.outbox_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.promos (
    event_id text NOT NULL COLLATE pg_catalog."C",
    code text NOT NULL,
    uses_max integer NOT NULL,
    percent smallint NOT NULL,
    amount_minor bigint NOT NULL,
    tier_nos smallint[] NOT NULL,
    CONSTRAINT promos_amount_minor_check CHECK ((amount_minor >= 0)),
    CONSTRAINT promos_check CHECK (((percent > 0) OR (amount_minor > 0) OR (cardinality(tier_nos) > 0))),
    CONSTRAINT promos_code_check CHECK ((code ~ '^[A-Z0-9_-]{1,32}$'::text)),
    CONSTRAINT promos_percent_check CHECK (((percent >= 0) AND (percent <= 100))),
    CONSTRAINT promos_uses_max_check CHECK ((uses_max >= 1))
);
CREATE TABLE public.quarantine (
    shard smallint NOT NULL,
    epoch bigint NOT NULL,
    seq bigint NOT NULL,
    record bytea NOT NULL,
    reason text NOT NULL,
    state public.quarantine_state DEFAULT 'held'::public.quarantine_state NOT NULL,
    found_at timestamp with time zone DEFAULT now() NOT NULL,
    changed_at timestamp with time zone DEFAULT now() NOT NULL,
    changed_by text DEFAULT ''::text NOT NULL,
    note text DEFAULT ''::text NOT NULL,
    CONSTRAINT quarantine_check CHECK (((state = 'held'::public.quarantine_state) OR (changed_by <> ''::text)))
);
CREATE TABLE public.redo (
    shard smallint NOT NULL,
    epoch bigint NOT NULL,
    seq bigint NOT NULL,
    record text NOT NULL,
    worker text NOT NULL,
    written_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT redo_seq_check CHECK ((seq >= 1))
);
CREATE TABLE public.sections (
    event_id text NOT NULL COLLATE pg_catalog."C",
    section_no smallint NOT NULL,
    tier_no smallint NOT NULL,
    name text NOT NULL,
    row_seats text NOT NULL,
    kinds text NOT NULL,
    rows jsonb NOT NULL,
    CONSTRAINT sections_kinds_check CHECK ((kinds ~ '^[0-7/]*$'::text)),
    CONSTRAINT sections_name_check CHECK (((length(name) >= 1) AND (length(name) <= 100))),
    CONSTRAINT sections_row_seats_check CHECK ((row_seats ~ '^[1-9][0-9]{0,3}(,[1-9][0-9]{0,3})*$'::text)),
    CONSTRAINT sections_section_no_check CHECK (((section_no >= 1) AND (section_no <= 200)))
);
CREATE TABLE public.shard_checkpoint (
    shard smallint NOT NULL,
    epoch bigint NOT NULL,
    last_seq bigint NOT NULL,
    changed_at timestamp with time zone DEFAULT now() NOT NULL,
    bytes bigint DEFAULT 0 NOT NULL,
    CONSTRAINT shard_checkpoint_bytes_check CHECK ((bytes >= 0)),
    CONSTRAINT shard_checkpoint_last_seq_check CHECK ((last_seq >= 0))
);
CREATE TABLE public.shard_epoch (
    shard smallint NOT NULL,
    epoch bigint NOT NULL,
    state public.shard_state NOT NULL,
    holder text NOT NULL,
    lease_until timestamp with time zone NOT NULL,
    nonce text NOT NULL,
    redis_run_id text DEFAULT ''::text NOT NULL,
    reason text DEFAULT ''::text NOT NULL,
    changed_at timestamp with time zone DEFAULT now() NOT NULL,
    redis_replid text DEFAULT ''::text NOT NULL,
    seen_seq bigint DEFAULT 0 NOT NULL,
    has_merged boolean DEFAULT false NOT NULL,
    CONSTRAINT shard_epoch_epoch_check CHECK ((epoch >= 1)),
    CONSTRAINT shard_epoch_seen_seq_check CHECK ((seen_seq >= 0)),
    CONSTRAINT shard_epoch_shard_check CHECK ((shard >= 0))
);
CREATE TABLE public.tickets (
    event_id text NOT NULL COLLATE pg_catalog."C",
    id text NOT NULL COLLATE pg_catalog."C",
    booking_id text NOT NULL COLLATE pg_catalog."C",
    tier_no smallint NOT NULL,
    seat_id text COLLATE pg_catalog."C",
    is_live boolean DEFAULT true NOT NULL,
    status text DEFAULT 'valid'::text NOT NULL,
    version integer DEFAULT 1 NOT NULL,
    holder_id text COLLATE pg_catalog."C",
    changed_at timestamp with time zone,
    gate text,
    changed_by text COLLATE pg_catalog."C",
    epoch bigint,
    seq bigint,
    CONSTRAINT tickets_status_check CHECK ((status = ANY (ARRAY['valid'::text, 'checked_in'::text, 'undone'::text]))),
    CONSTRAINT tickets_version_check CHECK ((version >= 1))
)
PARTITION BY RANGE (event_id);
CREATE TABLE public.tickets_rest (
    event_id text CONSTRAINT tickets_event_id_not_null NOT NULL COLLATE pg_catalog."C",
    id text CONSTRAINT tickets_id_not_null NOT NULL COLLATE pg_catalog."C",
    booking_id text CONSTRAINT tickets_booking_id_not_null NOT NULL COLLATE pg_catalog."C",
    tier_no smallint CONSTRAINT tickets_tier_no_not_null NOT NULL,
    seat_id text COLLATE pg_catalog."C",
    is_live boolean DEFAULT true CONSTRAINT tickets_is_live_not_null NOT NULL,
    status text DEFAULT 'valid'::text CONSTRAINT tickets_status_not_null NOT NULL,
    version integer DEFAULT 1 CONSTRAINT tickets_version_not_null NOT NULL,
    holder_id text COLLATE pg_catalog."C",
    changed_at timestamp with time zone,
    gate text,
    changed_by text COLLATE pg_catalog."C",
    epoch bigint,
    seq bigint,
    CONSTRAINT tickets_status_check CHECK ((status = ANY (ARRAY['valid'::text, 'checked_in'::text, 'undone'::text]))),
    CONSTRAINT tickets_version_check CHECK ((version >= 1))
);
CREATE TABLE public.tickets_y2026 (
    event_id text CONSTRAINT tickets_event_id_not_null NOT NULL COLLATE pg_catalog."C",
    id text CONSTRAINT tickets_id_not_null NOT NULL COLLATE pg_catalog."C",
    booking_id text CONSTRAINT tickets_booking_id_not_null NOT NULL COLLATE pg_catalog."C",
    tier_no smallint CONSTRAINT tickets_tier_no_not_null NOT NULL,
    seat_id text COLLATE pg_catalog."C",
    is_live boolean DEFAULT true CONSTRAINT tickets_is_live_not_null NOT NULL,
    status text DEFAULT 'valid'::text CONSTRAINT tickets_status_not_null NOT NULL,
    version integer DEFAULT 1 CONSTRAINT tickets_version_not_null NOT NULL,
    holder_id text COLLATE pg_catalog."C",
    changed_at timestamp with time zone,
    gate text,
    changed_by text COLLATE pg_catalog."C",
    epoch bigint,
    seq bigint,
    CONSTRAINT tickets_status_check CHECK ((status = ANY (ARRAY['valid'::text, 'checked_in'::text, 'undone'::text]))),
    CONSTRAINT tickets_version_check CHECK ((version >= 1))
);
CREATE TABLE public.tickets_y2027 (
    event_id text CONSTRAINT tickets_event_id_not_null NOT NULL COLLATE pg_catalog."C",
    id text CONSTRAINT tickets_id_not_null NOT NULL COLLATE pg_catalog."C",
    booking_id text CONSTRAINT tickets_booking_id_not_null NOT NULL COLLATE pg_catalog."C",
    tier_no smallint CONSTRAINT tickets_tier_no_not_null NOT NULL,
    seat_id text COLLATE pg_catalog."C",
    is_live boolean DEFAULT true CONSTRAINT tickets_is_live_not_null NOT NULL,
    status text DEFAULT 'valid'::text CONSTRAINT tickets_status_not_null NOT NULL,
    version integer DEFAULT 1 CONSTRAINT tickets_version_not_null NOT NULL,
    holder_id text COLLATE pg_catalog."C",
    changed_at timestamp with time zone,
    gate text,
    changed_by text COLLATE pg_catalog."C",
    epoch bigint,
    seq bigint,
    CONSTRAINT tickets_status_check CHECK ((status = ANY (ARRAY['valid'::text, 'checked_in'::text, 'undone'::text]))),
    CONSTRAINT tickets_version_check CHECK ((version >= 1))
);
CREATE TABLE public.tickets_y2028 (
    event_id text CONSTRAINT tickets_event_id_not_null NOT NULL COLLATE pg_catalog."C",
    id text CONSTRAINT tickets_id_not_null NOT NULL COLLATE pg_catalog."C",
    booking_id text CONSTRAINT tickets_booking_id_not_null NOT NULL COLLATE pg_catalog."C",
    tier_no smallint CONSTRAINT tickets_tier_no_not_null NOT NULL,
    seat_id text COLLATE pg_catalog."C",
    is_live boolean DEFAULT true CONSTRAINT tickets_is_live_not_null NOT NULL,
    status text DEFAULT 'valid'::text CONSTRAINT tickets_status_not_null NOT NULL,
    version integer DEFAULT 1 CONSTRAINT tickets_version_not_null NOT NULL,
    holder_id text COLLATE pg_catalog."C",
    changed_at timestamp with time zone,
    gate text,
    changed_by text COLLATE pg_catalog."C",
    epoch bigint,
    seq bigint,
    CONSTRAINT tickets_status_check CHECK ((status = ANY (ARRAY['valid'::text, 'checked_in'::text, 'undone'::text]))),
    CONSTRAINT tickets_version_check CHECK ((version >= 1))
);
CREATE TABLE public.tickets_y2029 (
    event_id text CONSTRAINT tickets_event_id_not_null NOT NULL COLLATE pg_catalog."C",
    id text CONSTRAINT tickets_id_not_null NOT NULL COLLATE pg_catalog."C",
    booking_id text CONSTRAINT tickets_booking_id_not_null NOT NULL COLLATE pg_catalog."C",
    tier_no smallint CONSTRAINT tickets_tier_no_not_null NOT NULL,
    seat_id text COLLATE pg_catalog."C",
    is_live boolean DEFAULT true CONSTRAINT tickets_is_live_not_null NOT NULL,
    status text DEFAULT 'valid'::text CONSTRAINT tickets_status_not_null NOT NULL,
    version integer DEFAULT 1 CONSTRAINT tickets_version_not_null NOT NULL,
    holder_id text COLLATE pg_catalog."C",
    changed_at timestamp with time zone,
    gate text,
    changed_by text COLLATE pg_catalog."C",
    epoch bigint,
    seq bigint,
    CONSTRAINT tickets_status_check CHECK ((status = ANY (ARRAY['valid'::text, 'checked_in'::text, 'undone'::text]))),
    CONSTRAINT tickets_version_check CHECK ((version >= 1))
);
CREATE TABLE public.tiers (
    event_id text NOT NULL COLLATE pg_catalog."C",
    tier_no smallint NOT NULL,
    id text NOT NULL COLLATE pg_catalog."C",
    name text NOT NULL,
    price_minor bigint NOT NULL,
    capacity integer NOT NULL,
    order_max smallint NOT NULL,
    order_min smallint DEFAULT 0 NOT NULL,
    person_max integer DEFAULT 0 NOT NULL,
    sale_opens_at timestamp with time zone,
    sale_closes_at timestamp with time zone,
    is_hidden boolean DEFAULT false NOT NULL,
    CONSTRAINT tiers_capacity_check CHECK ((capacity >= 0)),
    CONSTRAINT tiers_check CHECK (((order_min >= 0) AND (order_min <= order_max))),
    CONSTRAINT tiers_check1 CHECK ((sale_closes_at > sale_opens_at)),
    CONSTRAINT tiers_id_check CHECK ((id ~ '^tier_[0-9a-v]{26}$'::text)),
    CONSTRAINT tiers_name_check CHECK (((length(name) >= 1) AND (length(name) <= 100))),
    CONSTRAINT tiers_order_max_check CHECK (((order_max >= 1) AND (order_max <= 10))),
    CONSTRAINT tiers_person_max_check CHECK (((person_max >= 0) AND (person_max <= 1000))),
    CONSTRAINT tiers_price_minor_check CHECK ((price_minor >= 0)),
    CONSTRAINT tiers_tier_no_check CHECK (((tier_no >= 1) AND (tier_no <= 100)))
);
CREATE TABLE public.users (
    id text NOT NULL COLLATE pg_catalog."C",
    email text NOT NULL,
    name text NOT NULL,
    password_hash text NOT NULL,
    role public.user_role DEFAULT 'user'::public.user_role NOT NULL,
    organizer_id text COLLATE pg_catalog."C",
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT users_check CHECK (((role <> ALL (ARRAY['organizer'::public.user_role, 'staff'::public.user_role])) OR (organizer_id IS NOT NULL))),
    CONSTRAINT users_email_check CHECK (((length(email) >= 3) AND (length(email) <= 254))),
    CONSTRAINT users_id_check CHECK ((id ~ '^usr_[0-9a-v]{26}$'::text)),
    CONSTRAINT users_name_check CHECK (((length(name) >= 1) AND (length(name) <= 200)))
);
CREATE TABLE public.waitlist_entries (
    event_id text NOT NULL COLLATE pg_catalog."C",
    id text NOT NULL COLLATE pg_catalog."C",
    user_id text NOT NULL COLLATE pg_catalog."C",
    tier_no smallint NOT NULL,
    quantity smallint NOT NULL,
    join_no text NOT NULL COLLATE pg_catalog."C",
    status public.waitlist_status NOT NULL,
    version smallint NOT NULL,
    fingerprint text NOT NULL,
    shard smallint NOT NULL,
    epoch bigint NOT NULL,
    seq bigint NOT NULL,
    joined_at timestamp with time zone NOT NULL,
    stalled_at timestamp with time zone,
    offered_at timestamp with time zone,
    changed_epoch bigint NOT NULL,
    changed_seq bigint NOT NULL,
    changed_at timestamp with time zone NOT NULL,
    CONSTRAINT waitlist_entries_join_no_check CHECK ((join_no ~ '^[0-9]{12}$'::text)),
    CONSTRAINT waitlist_entries_quantity_check CHECK (((quantity >= 1) AND (quantity <= 10))),
    CONSTRAINT waitlist_entries_version_check CHECK (((version >= 1) AND (version <= 3)))
);
ALTER TABLE ONLY public.bookings ATTACH PARTITION public.bookings_rest DEFAULT;
ALTER TABLE ONLY public.bookings ATTACH PARTITION public.bookings_y2026 FOR VALUES FROM ('evt_06dndml8000000000000000000') TO ('evt_06hct2uk000000000000000000');
ALTER TABLE ONLY public.bookings ATTACH PARTITION public.bookings_y2027 FOR VALUES FROM ('evt_06hct2uk000000000000000000') TO ('evt_06l2cf80000000000000000000');
ALTER TABLE ONLY public.bookings ATTACH PARTITION public.bookings_y2028 FOR VALUES FROM ('evt_06l2cf80000000000000000000') TO ('evt_06oo6548000000000000000000');
ALTER TABLE ONLY public.bookings ATTACH PARTITION public.bookings_y2029 FOR VALUES FROM ('evt_06oo6548000000000000000000') TO ('evt_06sdlhdk000000000000000000');
ALTER TABLE ONLY public.items ATTACH PARTITION public.items_rest DEFAULT;
ALTER TABLE ONLY public.items ATTACH PARTITION public.items_y2026 FOR VALUES FROM ('evt_06dndml8000000000000000000') TO ('evt_06hct2uk000000000000000000');
ALTER TABLE ONLY public.items ATTACH PARTITION public.items_y2027 FOR VALUES FROM ('evt_06hct2uk000000000000000000') TO ('evt_06l2cf80000000000000000000');
ALTER TABLE ONLY public.items ATTACH PARTITION public.items_y2028 FOR VALUES FROM ('evt_06l2cf80000000000000000000') TO ('evt_06oo6548000000000000000000');
ALTER TABLE ONLY public.items ATTACH PARTITION public.items_y2029 FOR VALUES FROM ('evt_06oo6548000000000000000000') TO ('evt_06sdlhdk000000000000000000');
ALTER TABLE ONLY public.journal ATTACH PARTITION public.journal_rest DEFAULT;
ALTER TABLE ONLY public.journal ATTACH PARTITION public.journal_y2026 FOR VALUES FROM ('2026-01-01 00:00:00+00') TO ('2027-01-01 00:00:00+00');
ALTER TABLE ONLY public.journal ATTACH PARTITION public.journal_y2027 FOR VALUES FROM ('2027-01-01 00:00:00+00') TO ('2028-01-01 00:00:00+00');
ALTER TABLE ONLY public.journal ATTACH PARTITION public.journal_y2028 FOR VALUES FROM ('2028-01-01 00:00:00+00') TO ('2029-01-01 00:00:00+00');
ALTER TABLE ONLY public.journal ATTACH PARTITION public.journal_y2029 FOR VALUES FROM ('2029-01-01 00:00:00+00') TO ('2030-01-01 00:00:00+00');
ALTER TABLE ONLY public.tickets ATTACH PARTITION public.tickets_rest DEFAULT;
ALTER TABLE ONLY public.tickets ATTACH PARTITION public.tickets_y2026 FOR VALUES FROM ('evt_06dndml8000000000000000000') TO ('evt_06hct2uk000000000000000000');
ALTER TABLE ONLY public.tickets ATTACH PARTITION public.tickets_y2027 FOR VALUES FROM ('evt_06hct2uk000000000000000000') TO ('evt_06l2cf80000000000000000000');
ALTER TABLE ONLY public.tickets ATTACH PARTITION public.tickets_y2028 FOR VALUES FROM ('evt_06l2cf80000000000000000000') TO ('evt_06oo6548000000000000000000');
ALTER TABLE ONLY public.tickets ATTACH PARTITION public.tickets_y2029 FOR VALUES FROM ('evt_06oo6548000000000000000000') TO ('evt_06sdlhdk000000000000000000');
INSERT INTO public.blocked_seats VALUES
	('evt_06h20e9u52lmn731s6hd196gi4', 's1-1', 1, '2026-11-28 03:35:52.298+00');
INSERT INTO public.bookings_y2026 VALUES
	('bk_06h20e7pudqqftv96r7rke8b9h', 'evt_06h20e7pudda5d4tavkfe0f3nc', 'usr_06h20e7neipvmjdeavsin0g4hs', 'confirmed', 1, 2000, 0, 1, 6, '2026-11-28 03:35:36.068+00', NULL, '747493c3ebfc5bec', NULL, '{"a": 1.5, "b": null}', NULL, DEFAULT, NULL, NULL),
	('bk_06h20e7pudbqc6vh8r74a9tssa', 'evt_06h20e7pudda5d4tavkfe0f3nc', 'usr_06h20e7pc8q286kqlm46pg1cdo', 'cancelled', 2, 2000, 0, 1, 9, '2026-11-28 03:35:37.412+00', '2026-11-28 03:35:37.445+00', '4948ea50a1f22c33', NULL, NULL, NULL, DEFAULT, 1, 11),
	('bk_06h20e7pudbqc6vh8r74a9kept', 'evt_06h20e7pudda5d4tavkfe0f3nc', 'usr_06h20e7pc8q286kqlm46pg1cdo', 'confirmed', 1, 2000, 0, 1, 16, '2026-11-28 03:35:37.412+00', NULL, '4948ea50a1f22c33', NULL, NULL, NULL, DEFAULT, NULL, NULL),
	('bk_06h20e9u52k0gtb8c2m9528jlh', 'evt_06h20e9u52lmn731s6hd196gi4', 'usr_06h20e9s072n1msnra9bqahrcc', 'confirmed', 1, 2000, 0, 3, 4, '2026-11-28 03:35:52.332+00', NULL, '5e7ca2dffcdea3cb', 'Gänge, "A"
%s', '{"x": true, "y": "é"}', NULL, DEFAULT, NULL, NULL),
	('bk_06h20e9u52ph9g3g07654l2vnm', 'evt_06h20e9u52lmn731s6hd196gi4', 'usr_06h20e9so8kgn9tmrtle497918', 'confirmed', 1, 2700, 0, 3, 8, '2026-11-28 03:35:52.394+00', NULL, '7c12d6180574a8ba~SECRET', NULL, NULL, NULL, DEFAULT, NULL, NULL),
	('bk_06h20e9u52ofprhtfnpt58tun5', 'evt_06h20e9u52lmn731s6hd196gi4', 'usr_06h20e9s072n1msnra9bqahrcc', 'confirmed', 2, 9400, 0, 3, 11, '2026-11-28 03:35:52.424+00', NULL, '8df5526fd4ee8334~SECRET', NULL, NULL, '2x3x2000,3x2x2700/3-12-1795836952478-2x1x2000', DEFAULT, NULL, NULL),
	('bk_06h20e9u52b62nbs9unvagrsem', 'evt_06h20e9u52lmn731s6hd196gi4', 'usr_06h20e9so8kgn9tmrtle497918', 'cancelled', 2, 1000, 0, 3, 13, '2026-11-28 03:35:52.573+00', '2026-11-28 03:35:52.624+00', 'cea8ff968584f024', NULL, NULL, NULL, DEFAULT, 3, 14),
	('bk_06h20ea15g9ln634c4t0lrgfrk', 'evt_06h20ea15g2bmduo1bci0ce6pc', 'usr_06h20e9s072n1msnra9bqahrcc', 'cancelled', 2, 2000, 0, 3, 20, '2026-11-28 03:35:52.967+00', '2026-11-28 03:35:53.195+00', '1b2c9e5f48af0314', NULL, NULL, NULL, DEFAULT, 3, 25),
	('bk_06h20ea15g6egjskmfmmps83ip', 'evt_06h20ea15g2bmduo1bci0ce6pc', 'usr_06h20e9thqq4me1liql0rl69g0', 'confirmed', 1, 1000, 0, 3, 29, '2026-11-28 03:35:53.327+00', NULL, 'd6098b5b06141f5c', NULL, NULL, NULL, DEFAULT, NULL, NULL),
	('bk_06h20ea2vu3fg0qietags76eab', 'evt_06h20ea2vuh6umcr02atni3e58', 'usr_06h20e9s072n1msnra9bqahrcc', 'confirmed', 1, 1000, 0, 3, 32, '2026-11-28 03:35:53.532+00', NULL, 'e9b43a9a92ffd5a4', NULL, NULL, NULL, DEFAULT, NULL, NULL),
	('bk_06h20ea2vu6dokv7gedjmivsm3', 'evt_06h20ea2vuh6umcr02atni3e58', 'usr_06h20e9s072n1msnra9bqahrcc', 'cancelled', 2, 1000, 0, 3, 31, '2026-11-28 03:35:53.523+00', '2026-11-28 03:35:53.585+00', 'e9b43a9a92ffd5a4', NULL, NULL, NULL, DEFAULT, 3, 34),
	('bk_06h20ea4egbgn7jen3drajshvv', 'evt_06h20ea4eg72h688kp3pskopo0', 'usr_06h20e9s072n1msnra9bqahrcc', 'confirmed', 1, 1000, 0, 3, 41, '2026-11-28 03:35:53.795+00', NULL, '230356527705ffa7', NULL, NULL, NULL, DEFAULT, NULL, NULL),
	('bk_06h20ea4egccqdkrtsg890elik', 'evt_06h20ea4eg72h688kp3pskopo0', 'usr_06h20e9s072n1msnra9bqahrcc', 'cancelled', 2, 1000, 0, 3, 40, '2026-11-28 03:35:53.783+00', '2026-11-28 03:35:53.839+00', '230356527705ffa7', NULL, NULL, NULL, DEFAULT, 3, 44),
	('bk_06h20ea5g4b33qu9cthe7ubhrr', 'evt_06h20ea5g4dh55i0pnf9aae3mo', 'usr_06h20e9s072n1msnra9bqahrcc', 'cancelled', 2, 1000, 0, 3, 48, '2026-11-28 03:35:54.051+00', '2026-11-28 03:35:54.147+00', 'd4ed302e82dac68f', NULL, NULL, NULL, DEFAULT, 3, 52),
	('bk_06h20ea670qk3u9il0675dj14v', 'evt_06h20ea670dn7nrvsq7g4ko6js', 'usr_06h20e9s072n1msnra9bqahrcc', 'confirmed', 1, 5000, 0, 3, 54, '2026-11-28 03:35:54.279+00', NULL, 'b624d899713e943f', NULL, NULL, NULL, DEFAULT, NULL, NULL),
	('bk_06h20ea670crf92g0f5q13a9a9', 'evt_06h20ea670dn7nrvsq7g4ko6js', 'usr_06h20e9so8kgn9tmrtle497918', 'cancelled', 2, 1000, 0, 3, 55, '2026-11-28 03:35:54.289+00', '2026-11-28 03:35:54.366+00', 'dd150d3d82514943', NULL, NULL, NULL, DEFAULT, 3, 58),
	('bk_06h20ea670i1p687rj2bia9h0b', 'evt_06h20ea670dn7nrvsq7g4ko6js', 'usr_06h20e9thqq4me1liql0rl69g0', 'confirmed', 1, 2000, 0, 3, 61, '2026-11-28 03:35:54.449+00', NULL, '64e821610e4a9d5c', NULL, NULL, NULL, DEFAULT, NULL, NULL);
INSERT INTO public.events VALUES
	('evt_06h20e7pudda5d4tavkfe0f3nc', 'org_06h20e6u6vne2s063macftkbto', 0, 'published', 'Late', '', '', '', 'UTC', 'EUR', '2099-06-01 19:00:00+00', '2099-06-01 19:00:00+00', '2026-11-28 03:35:34.643792+00', '2099-06-01 19:00:00+00', 4, 1, '2026-11-28 03:35:34.644102+00', '2026-11-28 03:35:34.744+00', 'strict', 900000, NULL),
	('evt_06h20e9u52lmn731s6hd196gi4', 'org_06h20e6u6vne2s063macftkbto', 0, 'published', 'Hall', '', '', '', 'UTC', 'EUR', '2099-06-01 19:00:00+00', '2099-06-01 19:00:00+00', '2026-11-28 03:35:52.104302+00', '2099-06-01 19:00:00+00', 10, 1, '2026-11-28 03:35:52.104723+00', '2026-11-28 03:35:52.234+00', 'strict', 900000, NULL),
	('evt_06h20ea2vuh6umcr02atni3e58', 'org_06h20e6u6vne2s063macftkbto', 0, 'published', 'Strict', '', '', '', 'UTC', 'EUR', '2099-06-01 19:00:00+00', '2099-06-01 19:00:00+00', '2026-11-28 03:35:53.343674+00', '2099-06-01 19:00:00+00', 10, 1, '2026-11-28 03:35:53.345175+00', '2026-11-28 03:35:53.48+00', 'strict', 2592000000, NULL),
	('evt_06h20ea4eg72h688kp3pskopo0', 'org_06h20e6u6vne2s063macftkbto', 0, 'published', 'Skips', '', '', '', 'UTC', 'EUR', '2099-06-01 19:00:00+00', '2099-06-01 19:00:00+00', '2026-11-28 03:35:53.716106+00', '2099-06-01 19:00:00+00', 10, 1, '2026-11-28 03:35:53.716437+00', '2026-11-28 03:35:53.747+00', 'skip', 900000, NULL),
	('evt_06h20ea15g2bmduo1bci0ce6pc', 'org_06h20e6u6vne2s063macftkbto', 0, 'published', 'Sold', '', '', '', 'UTC', 'EUR', '2099-06-01 19:00:00+00', '2099-06-01 19:00:00+00', '2026-11-28 03:35:52.87611+00', '2099-05-01 00:00:00+00', 3, 5, '2026-11-28 03:35:52.876475+00', '2026-11-28 03:35:52.898+00', 'skip', 900000, NULL),
	('evt_06h20ea5g4dh55i0pnf9aae3mo', 'org_06h20e6u6vne2s063macftkbto', 0, 'cancelled', 'Off', '', '', '', 'UTC', 'EUR', '2099-06-01 19:00:00+00', '2099-06-01 19:00:00+00', '2026-11-28 03:35:53.984994+00', '2026-11-28 03:35:54.071+00', 10, 2, '2026-11-28 03:35:53.9853+00', '2026-11-28 03:35:54.016+00', 'strict', 900000, '2026-11-28 03:35:54.071+00'),
	('evt_06h20ea670dn7nrvsq7g4ko6js', 'org_06h20e6u6vne2s063macftkbto', 0, 'published', 'Kept', '', '', '', 'UTC', 'EUR', '2099-06-01 19:00:00+00', '2099-06-01 19:00:00+00', '2026-11-28 03:35:54.168452+00', '2099-06-01 19:00:00+00', 10, 1, '2026-11-28 03:35:54.168778+00', '2026-11-28 03:35:54.199+00', 'strict', 900000, NULL);
INSERT INTO public.items_y2026 VALUES
	('evt_06h20e7pudda5d4tavkfe0f3nc', 'bk_06h20e7pudqqftv96r7rke8b9h', 1, 1, 2, 1000, ''),
	('evt_06h20e7pudda5d4tavkfe0f3nc', 'bk_06h20e7pudbqc6vh8r74a9tssa', 1, 1, 2, 1000, ''),
	('evt_06h20e7pudda5d4tavkfe0f3nc', 'bk_06h20e7pudbqc6vh8r74a9kept', 1, 2, 1, 2000, ''),
	('evt_06h20e9u52lmn731s6hd196gi4', 'bk_06h20e9u52k0gtb8c2m9528jlh', 1, 1, 2, 1000, 's1-9+s1-10'),
	('evt_06h20e9u52lmn731s6hd196gi4', 'bk_06h20e9u52ph9g3g07654l2vnm', 1, 3, 1, 2700, ''),
	('evt_06h20e9u52lmn731s6hd196gi4', 'bk_06h20e9u52ofprhtfnpt58tun5', 2, 3, 2, 2700, ''),
	('evt_06h20e9u52lmn731s6hd196gi4', 'bk_06h20e9u52ofprhtfnpt58tun5', 1, 2, 2, 2000, ''),
	('evt_06h20e9u52lmn731s6hd196gi4', 'bk_06h20e9u52b62nbs9unvagrsem', 1, 1, 1, 1000, 's1-12'),
	('evt_06h20ea15g2bmduo1bci0ce6pc', 'bk_06h20ea15g9ln634c4t0lrgfrk', 1, 1, 2, 1000, ''),
	('evt_06h20ea15g2bmduo1bci0ce6pc', 'bk_06h20ea15g6egjskmfmmps83ip', 1, 1, 1, 1000, ''),
	('evt_06h20ea2vuh6umcr02atni3e58', 'bk_06h20ea2vu6dokv7gedjmivsm3', 1, 1, 1, 1000, ''),
	('evt_06h20ea2vuh6umcr02atni3e58', 'bk_06h20ea2vu3fg0qietags76eab', 1, 1, 1, 1000, ''),
	('evt_06h20ea4eg72h688kp3pskopo0', 'bk_06h20ea4egccqdkrtsg890elik', 1, 1, 1, 1000, ''),
	('evt_06h20ea4eg72h688kp3pskopo0', 'bk_06h20ea4egbgn7jen3drajshvv', 1, 1, 1, 1000, ''),
	('evt_06h20ea5g4dh55i0pnf9aae3mo', 'bk_06h20ea5g4b33qu9cthe7ubhrr', 1, 1, 1, 1000, ''),
	('evt_06h20ea670dn7nrvsq7g4ko6js', 'bk_06h20ea670qk3u9il0675dj14v', 1, 1, 5, 1000, ''),
	('evt_06h20ea670dn7nrvsq7g4ko6js', 'bk_06h20ea670crf92g0f5q13a9a9', 1, 1, 1, 1000, ''),
	('evt_06h20ea670dn7nrvsq7g4ko6js', 'bk_06h20ea670i1p687rj2bia9h0b', 1, 2, 1, 2000, '');
INSERT INTO public.journal_y2026 VALUES
	(0, 1, 1, 1, '2026-11-28 03:35:34.744+00', '7cbd0494{"kind":"published","version":1,"at_ms":1795836934744,"event_id":"evt_06h20e7pudda5d4tavkfe0f3nc","fingerprint":"c3ced922954eea93","opens_at_ms":1795836934643,"closes_at_ms":4084023600000,"person_max":4,"tiers":[[1,4,1000,10],[2,3,2000,10]]}'),
	(0, 1, 2, 2, '2026-11-28 03:35:34.88+00', 'fb65c546{"kind":"held","version":1,"at_ms":1795836934880,"event_id":"evt_06h20e7pudda5d4tavkfe0f3nc","hold_id":"hold_06h20e7pudqqftv96r7rke8b9h","user_id":"usr_06h20e7neipvmjdeavsin0g4hs","fingerprint":"747493c3ebfc5bec","items":[[1,2,1000]],"expires_at_ms":1795836935880,"detail":{"metadata":{"a":1.5,"b":null}}}'),
	(0, 1, 3, 3, '2026-11-28 03:35:34.9+00', '533bd1a0{"kind":"held","version":1,"at_ms":1795836934900,"event_id":"evt_06h20e7pudda5d4tavkfe0f3nc","hold_id":"hold_06h20e7pudaf116pj2n0eoc947","user_id":"usr_06h20e7oan9ds5vv3khljve874","fingerprint":"458d0fe8afd9ec93","items":[[2,1,2000]],"expires_at_ms":1795836935900,"detail":{}}'),
	(0, 1, 4, 5, '2026-11-28 03:35:36.024+00', '9786a4ed{"kind":"expired","version":1,"at_ms":1795836936024,"event_id":"evt_06h20e7pudda5d4tavkfe0f3nc","hold_id":"hold_06h20e7pudqqftv96r7rke8b9h","user_id":"usr_06h20e7neipvmjdeavsin0g4hs","items":[[1,2,1000]]}
199c37ab{"kind":"expired","version":1,"at_ms":1795836936024,"event_id":"evt_06h20e7pudda5d4tavkfe0f3nc","hold_id":"hold_06h20e7pudaf116pj2n0eoc947","user_id":"usr_06h20e7oan9ds5vv3khljve874","items":[[2,1,2000]]}'),
	(0, 1, 6, 7, '2026-11-28 03:35:36.068+00', '8b9fe2fa{"kind":"confirmed","version":1,"at_ms":1795836936068,"event_id":"evt_06h20e7pudda5d4tavkfe0f3nc","hold_id":"hold_06h20e7pudqqftv96r7rke8b9h","booking_id":"bk_06h20e7pudqqftv96r7rke8b9h","user_id":"usr_06h20e7neipvmjdeavsin0g4hs","fingerprint":"747493c3ebfc5bec","items":[[1,2,1000]],"detail":{"metadata":{"a":1.5,"b":null}},"was_expired":true}
96b4751d{"kind":"held","version":1,"at_ms":1795836936082,"event_id":"evt_06h20e7pudda5d4tavkfe0f3nc","hold_id":"hold_06h20e7pudolpqo4is6bfntfs0","user_id":"usr_06h20e7oan9ds5vv3khljve874","fingerprint":"3708a0f51fe6d54c","items":[[1,1,1000]],"expires_at_ms":1795836937082,"detail":{}}'),
	(0, 1, 8, 8, '2026-11-28 03:35:37.346+00', '091920f2{"kind":"expired","version":1,"at_ms":1795836937346,"event_id":"evt_06h20e7pudda5d4tavkfe0f3nc","hold_id":"hold_06h20e7pudolpqo4is6bfntfs0","user_id":"usr_06h20e7oan9ds5vv3khljve874","items":[[1,1,1000]]}'),
	(0, 1, 9, 9, '2026-11-28 03:35:37.412+00', '187ed5df{"kind":"booked","version":1,"at_ms":1795836937412,"event_id":"evt_06h20e7pudda5d4tavkfe0f3nc","booking_id":"bk_06h20e7pudbqc6vh8r74a9tssa","user_id":"usr_06h20e7pc8q286kqlm46pg1cdo","fingerprint":"4948ea50a1f22c33","items":[[1,2,1000]],"detail":{}}'),
	(0, 1, 10, 12, '2026-11-28 03:35:37.422+00', '04b36057{"kind":"joined","version":1,"at_ms":1795836937422,"event_id":"evt_06h20e7pudda5d4tavkfe0f3nc","entry_id":"wl_06h20e7pudqcr2d5vok5p1ajqq","user_id":"usr_06h20e7oan9ds5vv3khljve874","fingerprint":"864662659d8640bf","tier_no":1,"quantity":1,"join_no":"000000000001","policy":"strict","patience_ms":900000,"offer_ttl_ms":1000,"after_hold":"hold_06h20e7pudolpqo4is6bfntfs0"}
b0e4082f{"kind":"cancelled","version":1,"at_ms":1795836937445,"event_id":"evt_06h20e7pudda5d4tavkfe0f3nc","booking_id":"bk_06h20e7pudbqc6vh8r74a9tssa","user_id":"usr_06h20e7pc8q286kqlm46pg1cdo","items":[[1,2,1000]]}
f3d856cb{"kind":"offered","version":1,"at_ms":1795836937445,"event_id":"evt_06h20e7pudda5d4tavkfe0f3nc","entry_id":"wl_06h20e7pudqcr2d5vok5p1ajqq","hold_id":"offer_06h20e7pudqcr2d5vok5p1ajqq","user_id":"usr_06h20e7oan9ds5vv3khljve874","fingerprint":"864662659d8640bf","items":[[1,1,1000]],"expires_at_ms":1795836938445,"join_no":"000000000001","cause_seq":11,"reason":"turn","passed":[]}'),
	(0, 1, 13, 13, '2026-11-28 03:35:38.634+00', 'f923314c{"kind":"expired","version":1,"at_ms":1795836938634,"event_id":"evt_06h20e7pudda5d4tavkfe0f3nc","hold_id":"offer_06h20e7pudqcr2d5vok5p1ajqq","user_id":"usr_06h20e7oan9ds5vv3khljve874","items":[[1,1,1000]]}'),
	(0, 1, 14, 18, '2026-11-28 03:35:37.412+00', '701e34bf{"kind":"lost","version":1,"at_ms":1795836937412,"event_id":"","why":"unknown"}
701e34bf{"kind":"lost","version":1,"at_ms":1795836937412,"event_id":"","why":"unknown"}
eae07056{"kind":"booked","version":1,"at_ms":1795836937412,"event_id":"evt_06h20e7pudda5d4tavkfe0f3nc","booking_id":"bk_06h20e7pudbqc6vh8r74a9kept","user_id":"usr_06h20e7pc8q286kqlm46pg1cdo","fingerprint":"4948ea50a1f22c33","items":[[2,1,2000]],"detail":{}}
701e34bf{"kind":"lost","version":1,"at_ms":1795836937412,"event_id":"","why":"unknown"}
cc46e10a{"kind":"lost","version":1,"at_ms":1795836937412,"event_id":"","why":"conflict"}'),
	(0, 3, 1, 1, '2026-11-28 03:35:52.234+00', 'dd10b30c{"kind":"published","version":1,"at_ms":1795836952234,"event_id":"evt_06h20e9u52lmn731s6hd196gi4","fingerprint":"ef2f8c5fd253c6ab","opens_at_ms":1795836952104,"closes_at_ms":4084023600000,"person_max":10,"tiers":[[1,12,1000,10],[2,20,2000,4,2,6,0,4084023600000,0],[3,5,3000,10,0,0,0,0,1]],"sections":[[1,1,12]],"promos":[["SECRET",2,0,300,[3]],["TENTH",5,10,0,[]]]}'),
	(0, 3, 2, 2, '2026-11-28 03:35:52.298+00', 'f4f12cdd{"kind":"blocked","version":1,"at_ms":1795836952298,"event_id":"evt_06h20e9u52lmn731s6hd196gi4","seats":[[1,["s1-1","s1-2"]]]}'),
	(0, 3, 3, 6, '2026-11-28 03:35:52.318+00', 'e8b15009{"kind":"unblocked","version":1,"at_ms":1795836952318,"event_id":"evt_06h20e9u52lmn731s6hd196gi4","seats":[[1,["s1-2"]]]}
2d845705{"kind":"booked","version":1,"at_ms":1795836952332,"event_id":"evt_06h20e9u52lmn731s6hd196gi4","booking_id":"bk_06h20e9u52k0gtb8c2m9528jlh","user_id":"usr_06h20e9s072n1msnra9bqahrcc","fingerprint":"5e7ca2dffcdea3cb","items":[[1,2,1000,["s1-9","s1-10"]]],"detail":{"special_requests":"Gänge, \"A\"\n%s","metadata":{"x":true,"y":"é"}}}
14b13df1{"kind":"held","version":1,"at_ms":1795836952340,"event_id":"evt_06h20e9u52lmn731s6hd196gi4","hold_id":"hold_06h20e9u522p1f2qk0pogb1n8m","user_id":"usr_06h20e9so8kgn9tmrtle497918","fingerprint":"62de5ec1af47c9ed~TENTH","items":[[1,2,900,["s1-2","s1-3"]],[2,2,1800]],"expires_at_ms":1795844152340,"detail":{}}
6878a54c{"kind":"held","version":1,"at_ms":1795836952352,"event_id":"evt_06h20e9u52lmn731s6hd196gi4","hold_id":"hold_06h20e9u52ph9g3g07654l2vnm","user_id":"usr_06h20e9so8kgn9tmrtle497918","fingerprint":"7c12d6180574a8ba~SECRET","items":[[3,1,2700]],"expires_at_ms":1795844152352,"detail":{}}'),
	(0, 3, 7, 9, '2026-11-28 03:35:52.383+00', '5ad26fc8{"kind":"extended","version":1,"at_ms":1795836952383,"event_id":"evt_06h20e9u52lmn731s6hd196gi4","hold_id":"hold_06h20e9u52ph9g3g07654l2vnm","user_id":"usr_06h20e9so8kgn9tmrtle497918","expires_at_ms":1795844152383}
78ff4df1{"kind":"confirmed","version":1,"at_ms":1795836952394,"event_id":"evt_06h20e9u52lmn731s6hd196gi4","hold_id":"hold_06h20e9u52ph9g3g07654l2vnm","booking_id":"bk_06h20e9u52ph9g3g07654l2vnm","user_id":"usr_06h20e9so8kgn9tmrtle497918","fingerprint":"7c12d6180574a8ba~SECRET","items":[[3,1,2700]],"detail":{},"was_expired":false}
7c979fe2{"kind":"held","version":1,"at_ms":1795836952402,"event_id":"evt_06h20e9u52lmn731s6hd196gi4","hold_id":"hold_06h20e9u52e7g7r30qvj8nv398","user_id":"usr_06h20e9so8kgn9tmrtle497918","fingerprint":"ee817c64cd59ccff","items":[[1,1,1000,["s1-5"]]],"expires_at_ms":1795844152402,"detail":{}}'),
	(0, 3, 60, 60, '2026-11-28 03:35:54.44+00', 'ee87c2ac{"kind":"held","version":1,"at_ms":1795836954440,"event_id":"evt_06h20ea670dn7nrvsq7g4ko6js","hold_id":"hold_06h20ea670eueqc12k90t3s551","user_id":"usr_06h20e9so8kgn9tmrtle497918","fingerprint":"228b4aeccdf9ed9b","items":[[2,2,2000]],"expires_at_ms":1795844154440,"detail":{}}'),
	(0, 3, 10, 11, '2026-11-28 03:35:52.418+00', '50466317{"kind":"released","version":1,"at_ms":1795836952418,"event_id":"evt_06h20e9u52lmn731s6hd196gi4","hold_id":"hold_06h20e9u52e7g7r30qvj8nv398","user_id":"usr_06h20e9so8kgn9tmrtle497918","items":[[1,1,1000,["s1-5"]]]}
cf6852d0{"kind":"booked","version":1,"at_ms":1795836952424,"event_id":"evt_06h20e9u52lmn731s6hd196gi4","booking_id":"bk_06h20e9u52ofprhtfnpt58tun5","user_id":"usr_06h20e9s072n1msnra9bqahrcc","fingerprint":"8df5526fd4ee8334~SECRET","items":[[2,3,2000],[3,2,2700]],"detail":{}}'),
	(0, 3, 12, 12, '2026-11-28 03:35:52.478+00', '4609bebc{"kind":"item_cancelled","version":1,"at_ms":1795836952478,"event_id":"evt_06h20e9u52lmn731s6hd196gi4","booking_id":"bk_06h20e9u52ofprhtfnpt58tun5","user_id":"usr_06h20e9s072n1msnra9bqahrcc","booking_version":2,"items":[[2,1,2000]],"left":[[2,2,2000],[3,2,2700]],"cuts":"2x3x2000,3x2x2700/3-12-1795836952478-2x1x2000"}'),
	(0, 3, 13, 13, '2026-11-28 03:35:52.573+00', '801b0d44{"kind":"booked","version":1,"at_ms":1795836952573,"event_id":"evt_06h20e9u52lmn731s6hd196gi4","booking_id":"bk_06h20e9u52b62nbs9unvagrsem","user_id":"usr_06h20e9so8kgn9tmrtle497918","fingerprint":"cea8ff968584f024","items":[[1,1,1000,["s1-12"]]],"detail":{}}'),
	(0, 3, 14, 14, '2026-11-28 03:35:52.624+00', 'c85fa828{"kind":"cancelled","version":1,"at_ms":1795836952624,"event_id":"evt_06h20e9u52lmn731s6hd196gi4","booking_id":"bk_06h20e9u52b62nbs9unvagrsem","user_id":"usr_06h20e9so8kgn9tmrtle497918","items":[[1,1,1000,["s1-12"]]]}'),
	(0, 3, 15, 15, '2026-11-28 03:35:52.73+00', 'ce3a3fda{"kind":"checked_in","version":1,"at_ms":1795836952730,"event_id":"evt_06h20e9u52lmn731s6hd196gi4","ticket_id":"tkt_06h20e9u52k0gtb8c2m9528jlh_1","booking_id":"bk_06h20e9u52k0gtb8c2m9528jlh","number":1,"ticket_version":1,"holder_id":"usr_06h20e9s072n1msnra9bqahrcc","gate":"north","by":"usr_06h20e9r4tt4mo0pm7gf6ip014"}'),
	(0, 3, 16, 17, '2026-11-28 03:35:52.741+00', '791f0843{"kind":"check_in_undone","version":1,"at_ms":1795836952741,"event_id":"evt_06h20e9u52lmn731s6hd196gi4","ticket_id":"tkt_06h20e9u52k0gtb8c2m9528jlh_1","booking_id":"bk_06h20e9u52k0gtb8c2m9528jlh","number":1,"ticket_version":1,"holder_id":"usr_06h20e9s072n1msnra9bqahrcc","gate":"-","by":"usr_06h20e9r4tt4mo0pm7gf6ip014"}
98023103{"kind":"checked_in","version":1,"at_ms":1795836952756,"event_id":"evt_06h20e9u52lmn731s6hd196gi4","ticket_id":"tkt_06h20e9u52k0gtb8c2m9528jlh_1","booking_id":"bk_06h20e9u52k0gtb8c2m9528jlh","number":1,"ticket_version":1,"holder_id":"usr_06h20e9s072n1msnra9bqahrcc","gate":"-","by":"usr_06h20e9r4tt4mo0pm7gf6ip014"}'),
	(0, 3, 18, 18, '2026-11-28 03:35:52.791+00', '8258bbe6{"kind":"transferred","version":1,"at_ms":1795836952791,"event_id":"evt_06h20e9u52lmn731s6hd196gi4","ticket_id":"tkt_06h20e9u52k0gtb8c2m9528jlh_2","booking_id":"bk_06h20e9u52k0gtb8c2m9528jlh","number":2,"ticket_version":2,"holder_id":"usr_06h20e9so8kgn9tmrtle497918","gate":"-","by":"usr_06h20e9s072n1msnra9bqahrcc"}'),
	(0, 3, 19, 19, '2026-11-28 03:35:52.898+00', '6c1c64ce{"kind":"published","version":1,"at_ms":1795836952898,"event_id":"evt_06h20ea15g2bmduo1bci0ce6pc","fingerprint":"517bc274c8a7c3d6","opens_at_ms":1795836952876,"closes_at_ms":4084023600000,"person_max":3,"tiers":[[1,2,1000,10],[2,0,2000,10]]}'),
	(0, 3, 20, 20, '2026-11-28 03:35:52.967+00', '1bde089f{"kind":"booked","version":1,"at_ms":1795836952967,"event_id":"evt_06h20ea15g2bmduo1bci0ce6pc","booking_id":"bk_06h20ea15g9ln634c4t0lrgfrk","user_id":"usr_06h20e9s072n1msnra9bqahrcc","fingerprint":"1b2c9e5f48af0314","items":[[1,2,1000]],"detail":{}}'),
	(0, 3, 21, 21, '2026-11-28 03:35:52.976+00', '80372da5{"kind":"closed","version":1,"at_ms":1795836952976,"event_id":"evt_06h20ea15g2bmduo1bci0ce6pc","closes_at_ms":1795836952976}'),
	(0, 3, 22, 22, '2026-11-28 03:35:53.071+00', '2f81c70b{"kind":"reopened","version":1,"at_ms":1795836953071,"event_id":"evt_06h20ea15g2bmduo1bci0ce6pc","closes_at_ms":4081276800000}'),
	(0, 3, 23, 23, '2026-11-28 03:35:53.117+00', '7bd6e4f4{"kind":"joined","version":1,"at_ms":1795836953117,"event_id":"evt_06h20ea15g2bmduo1bci0ce6pc","entry_id":"wl_06h20ea15g7kpcl40lqapg42am","user_id":"usr_06h20e9so8kgn9tmrtle497918","fingerprint":"633c14605f0ed040","tier_no":1,"quantity":2,"join_no":"100000000001","policy":"skip","patience_ms":900000,"offer_ttl_ms":7200000,"after_hold":""}'),
	(0, 3, 24, 24, '2026-11-28 03:35:53.146+00', '54657599{"kind":"joined","version":1,"at_ms":1795836953146,"event_id":"evt_06h20ea15g2bmduo1bci0ce6pc","entry_id":"wl_06h20ea15g6egjskmfmmps83ip","user_id":"usr_06h20e9thqq4me1liql0rl69g0","fingerprint":"d6098b5b06141f5c","tier_no":1,"quantity":1,"join_no":"100000000002","policy":"skip","patience_ms":900000,"offer_ttl_ms":7200000,"after_hold":""}'),
	(0, 3, 25, 26, '2026-11-28 03:35:53.195+00', 'e563ace2{"kind":"cancelled","version":1,"at_ms":1795836953195,"event_id":"evt_06h20ea15g2bmduo1bci0ce6pc","booking_id":"bk_06h20ea15g9ln634c4t0lrgfrk","user_id":"usr_06h20e9s072n1msnra9bqahrcc","items":[[1,2,1000]]}
58e02ab5{"kind":"offered","version":1,"at_ms":1795836953195,"event_id":"evt_06h20ea15g2bmduo1bci0ce6pc","entry_id":"wl_06h20ea15g7kpcl40lqapg42am","hold_id":"offer_06h20ea15g7kpcl40lqapg42am","user_id":"usr_06h20e9so8kgn9tmrtle497918","fingerprint":"633c14605f0ed040","items":[[1,2,1000]],"expires_at_ms":1795844153195,"join_no":"100000000001","cause_seq":25,"reason":"turn","passed":[]}'),
	(0, 3, 27, 28, '2026-11-28 03:35:53.295+00', 'b15e176b{"kind":"released","version":1,"at_ms":1795836953295,"event_id":"evt_06h20ea15g2bmduo1bci0ce6pc","hold_id":"offer_06h20ea15g7kpcl40lqapg42am","user_id":"usr_06h20e9so8kgn9tmrtle497918","items":[[1,2,1000]]}
ceba8d6c{"kind":"offered","version":1,"at_ms":1795836953295,"event_id":"evt_06h20ea15g2bmduo1bci0ce6pc","entry_id":"wl_06h20ea15g6egjskmfmmps83ip","hold_id":"offer_06h20ea15g6egjskmfmmps83ip","user_id":"usr_06h20e9thqq4me1liql0rl69g0","fingerprint":"d6098b5b06141f5c","items":[[1,1,1000]],"expires_at_ms":1795844153295,"join_no":"100000000002","cause_seq":27,"reason":"turn","passed":[]}'),
	(0, 3, 29, 29, '2026-11-28 03:35:53.327+00', '3aab5b39{"kind":"confirmed","version":1,"at_ms":1795836953327,"event_id":"evt_06h20ea15g2bmduo1bci0ce6pc","hold_id":"offer_06h20ea15g6egjskmfmmps83ip","booking_id":"bk_06h20ea15g6egjskmfmmps83ip","user_id":"usr_06h20e9thqq4me1liql0rl69g0","fingerprint":"d6098b5b06141f5c","items":[[1,1,1000]],"detail":{},"was_expired":false}'),
	(0, 3, 30, 30, '2026-11-28 03:35:53.48+00', '60b2ada9{"kind":"published","version":1,"at_ms":1795836953480,"event_id":"evt_06h20ea2vuh6umcr02atni3e58","fingerprint":"64d2d2eeda5ad001","opens_at_ms":1795836953343,"closes_at_ms":4084023600000,"person_max":10,"tiers":[[1,2,1000,10]]}'),
	(0, 3, 31, 33, '2026-11-28 03:35:53.523+00', '9a071914{"kind":"booked","version":1,"at_ms":1795836953523,"event_id":"evt_06h20ea2vuh6umcr02atni3e58","booking_id":"bk_06h20ea2vu6dokv7gedjmivsm3","user_id":"usr_06h20e9s072n1msnra9bqahrcc","fingerprint":"e9b43a9a92ffd5a4","items":[[1,1,1000]],"detail":{}}
d8ab434e{"kind":"booked","version":1,"at_ms":1795836953532,"event_id":"evt_06h20ea2vuh6umcr02atni3e58","booking_id":"bk_06h20ea2vu3fg0qietags76eab","user_id":"usr_06h20e9s072n1msnra9bqahrcc","fingerprint":"e9b43a9a92ffd5a4","items":[[1,1,1000]],"detail":{}}
58b9c9f7{"kind":"joined","version":1,"at_ms":1795836953537,"event_id":"evt_06h20ea2vuh6umcr02atni3e58","entry_id":"wl_06h20ea2vukos618jbnm8qhjp4","user_id":"usr_06h20e9so8kgn9tmrtle497918","fingerprint":"f17d1e9f97e5fdb4","tier_no":1,"quantity":2,"join_no":"100000000001","policy":"strict","patience_ms":2592000000,"offer_ttl_ms":7200000,"after_hold":""}'),
	(0, 3, 34, 35, '2026-11-28 03:35:53.585+00', '5fd941f7{"kind":"cancelled","version":1,"at_ms":1795836953585,"event_id":"evt_06h20ea2vuh6umcr02atni3e58","booking_id":"bk_06h20ea2vu6dokv7gedjmivsm3","user_id":"usr_06h20e9s072n1msnra9bqahrcc","items":[[1,1,1000]]}
d6e52cc8{"kind":"stalled","version":1,"at_ms":1795836953585,"event_id":"evt_06h20ea2vuh6umcr02atni3e58","entry_id":"wl_06h20ea2vukos618jbnm8qhjp4","user_id":"usr_06h20e9so8kgn9tmrtle497918","tier_no":1,"quantity":2,"available":1}'),
	(0, 3, 36, 36, '2026-11-28 03:35:53.637+00', '10604667{"kind":"joined","version":1,"at_ms":1795836953637,"event_id":"evt_06h20ea2vuh6umcr02atni3e58","entry_id":"wl_06h20ea2vumvatgaaqvdou1f47","user_id":"usr_06h20e9thqq4me1liql0rl69g0","fingerprint":"da792441d19048f1","tier_no":1,"quantity":1,"join_no":"100000000002","policy":"strict","patience_ms":2592000000,"offer_ttl_ms":7200000,"after_hold":""}'),
	(0, 3, 37, 37, '2026-11-28 03:35:53.666+00', '886ada33{"kind":"joined","version":1,"at_ms":1795836953666,"event_id":"evt_06h20ea2vuh6umcr02atni3e58","entry_id":"wl_06h20ea2vuli15fqus2i3cr9oq","user_id":"usr_06h20e9s072n1msnra9bqahrcc","fingerprint":"da792441d19048f1","tier_no":1,"quantity":1,"join_no":"100000000003","policy":"strict","patience_ms":2592000000,"offer_ttl_ms":7200000,"after_hold":""}'),
	(0, 3, 38, 39, '2026-11-28 03:35:53.704+00', 'acd6dc6f{"kind":"left","version":1,"at_ms":1795836953704,"event_id":"evt_06h20ea2vuh6umcr02atni3e58","entry_id":"wl_06h20ea2vuli15fqus2i3cr9oq","user_id":"usr_06h20e9s072n1msnra9bqahrcc","tier_no":1,"quantity":1,"why":"owner"}
8fcb6840{"kind":"published","version":1,"at_ms":1795836953747,"event_id":"evt_06h20ea4eg72h688kp3pskopo0","fingerprint":"411047b2471e8a5b","opens_at_ms":1795836953716,"closes_at_ms":4084023600000,"person_max":10,"tiers":[[1,2,1000,10]]}'),
	(0, 3, 40, 42, '2026-11-28 03:35:53.783+00', 'c4980964{"kind":"booked","version":1,"at_ms":1795836953783,"event_id":"evt_06h20ea4eg72h688kp3pskopo0","booking_id":"bk_06h20ea4egccqdkrtsg890elik","user_id":"usr_06h20e9s072n1msnra9bqahrcc","fingerprint":"230356527705ffa7","items":[[1,1,1000]],"detail":{}}
db7639dd{"kind":"booked","version":1,"at_ms":1795836953795,"event_id":"evt_06h20ea4eg72h688kp3pskopo0","booking_id":"bk_06h20ea4egbgn7jen3drajshvv","user_id":"usr_06h20e9s072n1msnra9bqahrcc","fingerprint":"230356527705ffa7","items":[[1,1,1000]],"detail":{}}
9c3b2942{"kind":"joined","version":1,"at_ms":1795836953803,"event_id":"evt_06h20ea4eg72h688kp3pskopo0","entry_id":"wl_06h20ea4egk0qg0cjrvldg6sop","user_id":"usr_06h20e9so8kgn9tmrtle497918","fingerprint":"0cbe2456727dc237","tier_no":1,"quantity":2,"join_no":"100000000001","policy":"skip","patience_ms":900000,"offer_ttl_ms":7200000,"after_hold":""}'),
	(0, 3, 43, 45, '2026-11-28 03:35:53.814+00', 'f28238f9{"kind":"joined","version":1,"at_ms":1795836953814,"event_id":"evt_06h20ea4eg72h688kp3pskopo0","entry_id":"wl_06h20ea4eg83b4g2tfg5c1gd5h","user_id":"usr_06h20e9thqq4me1liql0rl69g0","fingerprint":"c368ba409d658983","tier_no":1,"quantity":1,"join_no":"100000000002","policy":"skip","patience_ms":900000,"offer_ttl_ms":7200000,"after_hold":""}
65b32a3e{"kind":"cancelled","version":1,"at_ms":1795836953839,"event_id":"evt_06h20ea4eg72h688kp3pskopo0","booking_id":"bk_06h20ea4egccqdkrtsg890elik","user_id":"usr_06h20e9s072n1msnra9bqahrcc","items":[[1,1,1000]]}
45b48461{"kind":"offered","version":1,"at_ms":1795836953839,"event_id":"evt_06h20ea4eg72h688kp3pskopo0","entry_id":"wl_06h20ea4eg83b4g2tfg5c1gd5h","hold_id":"offer_06h20ea4eg83b4g2tfg5c1gd5h","user_id":"usr_06h20e9thqq4me1liql0rl69g0","fingerprint":"c368ba409d658983","items":[[1,1,1000]],"expires_at_ms":1795844153839,"join_no":"100000000002","cause_seq":44,"reason":"skip","passed":["wl_06h20ea4egk0qg0cjrvldg6sop"]}'),
	(0, 3, 46, 46, '2026-11-28 03:35:53.935+00', 'ba064f2b{"kind":"capacity_set","version":1,"at_ms":1795836953935,"event_id":"evt_06h20ea15g2bmduo1bci0ce6pc","tiers":[[2,4]]}'),
	(0, 3, 47, 47, '2026-11-28 03:35:54.016+00', '1c3bd566{"kind":"published","version":1,"at_ms":1795836954016,"event_id":"evt_06h20ea5g4dh55i0pnf9aae3mo","fingerprint":"b72c4bc203f7c3c3","opens_at_ms":1795836953984,"closes_at_ms":4084023600000,"person_max":10,"tiers":[[1,5,1000,10]]}'),
	(0, 3, 48, 49, '2026-11-28 03:35:54.051+00', '1e3d74e3{"kind":"booked","version":1,"at_ms":1795836954051,"event_id":"evt_06h20ea5g4dh55i0pnf9aae3mo","booking_id":"bk_06h20ea5g4b33qu9cthe7ubhrr","user_id":"usr_06h20e9s072n1msnra9bqahrcc","fingerprint":"d4ed302e82dac68f","items":[[1,1,1000]],"detail":{}}
9c930aca{"kind":"held","version":1,"at_ms":1795836954056,"event_id":"evt_06h20ea5g4dh55i0pnf9aae3mo","hold_id":"hold_06h20ea5g4g17098b3dpbu6d94","user_id":"usr_06h20e9so8kgn9tmrtle497918","fingerprint":"d4ed302e82dac68f","items":[[1,1,1000]],"expires_at_ms":1795844154056,"detail":{}}'),
	(0, 3, 50, 50, '2026-11-28 03:35:54.071+00', '87e3761e{"kind":"event_cancelled","version":1,"at_ms":1795836954071,"event_id":"evt_06h20ea5g4dh55i0pnf9aae3mo","closes_at_ms":1795836954071}'),
	(0, 3, 51, 52, '2026-11-28 03:35:54.147+00', 'a9c7224a{"kind":"released","version":1,"at_ms":1795836954147,"event_id":"evt_06h20ea5g4dh55i0pnf9aae3mo","hold_id":"hold_06h20ea5g4g17098b3dpbu6d94","user_id":"usr_06h20e9so8kgn9tmrtle497918","items":[[1,1,1000]]}
c03f5f21{"kind":"cancelled","version":1,"at_ms":1795836954147,"event_id":"evt_06h20ea5g4dh55i0pnf9aae3mo","booking_id":"bk_06h20ea5g4b33qu9cthe7ubhrr","user_id":"usr_06h20e9s072n1msnra9bqahrcc","items":[[1,1,1000]],"reason":"event_cancelled"}'),
	(0, 3, 53, 53, '2026-11-28 03:35:54.199+00', '3f63efc3{"kind":"published","version":1,"at_ms":1795836954199,"event_id":"evt_06h20ea670dn7nrvsq7g4ko6js","fingerprint":"4780c6464780f350","opens_at_ms":1795836954168,"closes_at_ms":4084023600000,"person_max":10,"tiers":[[1,6,1000,10],[2,10,2000,10]]}'),
	(0, 3, 54, 54, '2026-11-28 03:35:54.279+00', 'e6db7d3e{"kind":"booked","version":1,"at_ms":1795836954279,"event_id":"evt_06h20ea670dn7nrvsq7g4ko6js","booking_id":"bk_06h20ea670qk3u9il0675dj14v","user_id":"usr_06h20e9s072n1msnra9bqahrcc","fingerprint":"b624d899713e943f","items":[[1,5,1000]],"detail":{}}'),
	(0, 3, 55, 57, '2026-11-28 03:35:54.289+00', 'b74b39b9{"kind":"booked","version":1,"at_ms":1795836954289,"event_id":"evt_06h20ea670dn7nrvsq7g4ko6js","booking_id":"bk_06h20ea670crf92g0f5q13a9a9","user_id":"usr_06h20e9so8kgn9tmrtle497918","fingerprint":"dd150d3d82514943","items":[[1,1,1000]],"detail":{}}
415d7831{"kind":"joined","version":1,"at_ms":1795836954300,"event_id":"evt_06h20ea670dn7nrvsq7g4ko6js","entry_id":"wl_06h20ea670uk6t5nif27uc2f8j","user_id":"usr_06h20e9thqq4me1liql0rl69g0","fingerprint":"bd1da3bfa90d0067","tier_no":1,"quantity":1,"join_no":"100000000001","policy":"strict","patience_ms":900000,"offer_ttl_ms":7200000,"after_hold":""}
65158922{"kind":"joined","version":1,"at_ms":1795836954325,"event_id":"evt_06h20ea670dn7nrvsq7g4ko6js","entry_id":"wl_06h20ea670qoq0qtb9to7ame3o","user_id":"usr_06h20e9so8kgn9tmrtle497918","fingerprint":"bd1da3bfa90d0067","tier_no":1,"quantity":1,"join_no":"100000000002","policy":"strict","patience_ms":900000,"offer_ttl_ms":7200000,"after_hold":""}'),
	(0, 3, 58, 59, '2026-11-28 03:35:54.366+00', '91559ff2{"kind":"cancelled","version":1,"at_ms":1795836954366,"event_id":"evt_06h20ea670dn7nrvsq7g4ko6js","booking_id":"bk_06h20ea670crf92g0f5q13a9a9","user_id":"usr_06h20e9so8kgn9tmrtle497918","items":[[1,1,1000]]}
baad98de{"kind":"offered","version":1,"at_ms":1795836954366,"event_id":"evt_06h20ea670dn7nrvsq7g4ko6js","entry_id":"wl_06h20ea670uk6t5nif27uc2f8j","hold_id":"offer_06h20ea670uk6t5nif27uc2f8j","user_id":"usr_06h20e9thqq4me1liql0rl69g0","fingerprint":"bd1da3bfa90d0067","items":[[1,1,1000]],"expires_at_ms":1795844154366,"join_no":"100000000001","cause_seq":58,"reason":"turn","passed":[]}'),
	(0, 3, 61, 61, '2026-11-28 03:35:54.449+00', '641d05d4{"kind":"booked","version":1,"at_ms":1795836954449,"event_id":"evt_06h20ea670dn7nrvsq7g4ko6js","booking_id":"bk_06h20ea670i1p687rj2bia9h0b","user_id":"usr_06h20e9thqq4me1liql0rl69g0","fingerprint":"64e821610e4a9d5c","items":[[2,1,2000]],"detail":{}}');
INSERT INTO public.migrations VALUES
	('0001_people_and_events.sql', 'ba9c46ecbe33d1cb0d614672204f5b41186ae4409ca72dc166b22880c1538457', '2026-11-28 03:35:26.749531+00'),
	('0002_ledger.sql', 'a0b9879dc3e9d284ec95ab4d5bc0248bdb9115cafbf78ff6b5d39385e7425c2b', '2026-11-28 03:35:26.818975+00'),
	('0003_seats.sql', '638939a11a344a539abed6224109748c62a30f8578770a0d32dd456ce57efb78', '2026-11-28 03:35:26.88569+00'),
	('0004_waitlist.sql', '28580761dc85a7d9a1748bfc41b21260cf0634b162828ab2f423155636571f0b', '2026-11-28 03:35:26.914981+00'),
	('0005_gate.sql', 'ae8758e1905ff5271f9263cc4590c80bbddf3c03576d2ff3a28c1c258ebb15f2', '2026-11-28 03:35:26.934945+00'),
	('0006_tier_rules.sql', 'f8f9646db9921cfa1e4f4f42ca8c88ec4a7286e1b696a8fc9ab7446e716f1973', '2026-11-28 03:35:26.954949+00'),
	('0007_faults.sql', '2b3f133ccc510b5dd575845bb8c7ab7d60084708b7df77ec6c3d994b3b193cc5', '2026-11-28 03:35:26.998317+00'),
	('0008_hidden_tiers.sql', 'a686b444d372f1fb1dcf2a2dd7d74e5207f077a050336b713857a4d5ee495e8e', '2026-11-28 03:35:27.03893+00'),
	('0009_seen.sql', 'f9e6df8b5ff5703be94c7451da2ce1be0c69b9ddc37d431905075ab8b644770f', '2026-11-28 03:35:27.050511+00'),
	('0010_rebuild.sql', 'bf910658d02e58a857332a6b38d77b2d962774a265df95236acebfba7c48088d', '2026-11-28 03:35:27.074188+00'),
	('0011_persister.sql', '7f1f4f8829a0130528681d594b41205b657e45f48e04b808bae1e44c5e957d01', '2026-11-28 03:35:27.087497+00'),
	('0012_merged.sql', '35475ff6f8734e855097809c5a77d31147a1209a75fdc65cda0b6b406b275e02', '2026-11-28 03:35:27.102565+00');
INSERT INTO public.organizers VALUES
	('org_06h20e6u6vne2s063macftkbto', 'House', '2026-11-28 03:35:27.373524+00');
INSERT INTO public.outbox OVERRIDING SYSTEM VALUE VALUES
	(1, 'booking.confirmed', 'evt_06h20e7pudda5d4tavkfe0f3nc', 'usr_06h20e7neipvmjdeavsin0g4hs', 'bk_06h20e7pudqqftv96r7rke8b9h', 0, 1, 6, '2026-11-28 03:35:36.095333+00', NULL),
	(2, 'booking.confirmed', 'evt_06h20e7pudda5d4tavkfe0f3nc', 'usr_06h20e7pc8q286kqlm46pg1cdo', 'bk_06h20e7pudbqc6vh8r74a9tssa', 0, 1, 9, '2026-11-28 03:35:37.414565+00', NULL),
	(3, 'booking.cancelled', 'evt_06h20e7pudda5d4tavkfe0f3nc', 'usr_06h20e7pc8q286kqlm46pg1cdo', 'bk_06h20e7pudbqc6vh8r74a9tssa', 0, 1, 11, '2026-11-28 03:35:37.466041+00', NULL),
	(4, 'waitlist.offered', 'evt_06h20e7pudda5d4tavkfe0f3nc', 'usr_06h20e7oan9ds5vv3khljve874', 'wl_06h20e7pudqcr2d5vok5p1ajqq', 0, 1, 12, '2026-11-28 03:35:37.466041+00', NULL),
	(5, 'waitlist.expired', 'evt_06h20e7pudda5d4tavkfe0f3nc', 'usr_06h20e7oan9ds5vv3khljve874', 'wl_06h20e7pudqcr2d5vok5p1ajqq', 0, 1, 13, '2026-11-28 03:35:38.63942+00', NULL),
	(6, 'booking.confirmed', 'evt_06h20e7pudda5d4tavkfe0f3nc', 'usr_06h20e7pc8q286kqlm46pg1cdo', 'bk_06h20e7pudbqc6vh8r74a9kept', 0, 1, 16, '2026-11-28 03:35:38.779106+00', NULL),
	(7, 'booking.confirmed', 'evt_06h20e9u52lmn731s6hd196gi4', 'usr_06h20e9s072n1msnra9bqahrcc', 'bk_06h20e9u52k0gtb8c2m9528jlh', 0, 3, 4, '2026-11-28 03:35:52.355557+00', NULL),
	(8, 'booking.confirmed', 'evt_06h20e9u52lmn731s6hd196gi4', 'usr_06h20e9so8kgn9tmrtle497918', 'bk_06h20e9u52ph9g3g07654l2vnm', 0, 3, 8, '2026-11-28 03:35:52.406483+00', NULL),
	(9, 'booking.confirmed', 'evt_06h20e9u52lmn731s6hd196gi4', 'usr_06h20e9s072n1msnra9bqahrcc', 'bk_06h20e9u52ofprhtfnpt58tun5', 0, 3, 11, '2026-11-28 03:35:52.457253+00', NULL),
	(10, 'booking.changed', 'evt_06h20e9u52lmn731s6hd196gi4', 'usr_06h20e9s072n1msnra9bqahrcc', 'bk_06h20e9u52ofprhtfnpt58tun5', 0, 3, 12, '2026-11-28 03:35:52.50824+00', NULL),
	(11, 'booking.confirmed', 'evt_06h20e9u52lmn731s6hd196gi4', 'usr_06h20e9so8kgn9tmrtle497918', 'bk_06h20e9u52b62nbs9unvagrsem', 0, 3, 13, '2026-11-28 03:35:52.594557+00', NULL),
	(12, 'booking.cancelled', 'evt_06h20e9u52lmn731s6hd196gi4', 'usr_06h20e9so8kgn9tmrtle497918', 'bk_06h20e9u52b62nbs9unvagrsem', 0, 3, 14, '2026-11-28 03:35:52.642444+00', NULL),
	(13, 'ticket.transferred', 'evt_06h20e9u52lmn731s6hd196gi4', 'usr_06h20e9so8kgn9tmrtle497918', 'tkt_06h20e9u52k0gtb8c2m9528jlh_2', 0, 3, 18, '2026-11-28 03:35:52.847982+00', NULL),
	(14, 'booking.confirmed', 'evt_06h20ea15g2bmduo1bci0ce6pc', 'usr_06h20e9s072n1msnra9bqahrcc', 'bk_06h20ea15g9ln634c4t0lrgfrk', 0, 3, 20, '2026-11-28 03:35:52.972047+00', NULL),
	(15, 'booking.cancelled', 'evt_06h20ea15g2bmduo1bci0ce6pc', 'usr_06h20e9s072n1msnra9bqahrcc', 'bk_06h20ea15g9ln634c4t0lrgfrk', 0, 3, 25, '2026-11-28 03:35:53.242929+00', NULL),
	(16, 'waitlist.offered', 'evt_06h20ea15g2bmduo1bci0ce6pc', 'usr_06h20e9so8kgn9tmrtle497918', 'wl_06h20ea15g7kpcl40lqapg42am', 0, 3, 26, '2026-11-28 03:35:53.242929+00', NULL),
	(17, 'waitlist.offered', 'evt_06h20ea15g2bmduo1bci0ce6pc', 'usr_06h20e9thqq4me1liql0rl69g0', 'wl_06h20ea15g6egjskmfmmps83ip', 0, 3, 28, '2026-11-28 03:35:53.305053+00', NULL),
	(18, 'booking.confirmed', 'evt_06h20ea15g2bmduo1bci0ce6pc', 'usr_06h20e9thqq4me1liql0rl69g0', 'bk_06h20ea15g6egjskmfmmps83ip', 0, 3, 29, '2026-11-28 03:35:53.354903+00', NULL),
	(19, 'booking.confirmed', 'evt_06h20ea2vuh6umcr02atni3e58', 'usr_06h20e9s072n1msnra9bqahrcc', 'bk_06h20ea2vu6dokv7gedjmivsm3', 0, 3, 31, '2026-11-28 03:35:53.549297+00', NULL),
	(20, 'booking.confirmed', 'evt_06h20ea2vuh6umcr02atni3e58', 'usr_06h20e9s072n1msnra9bqahrcc', 'bk_06h20ea2vu3fg0qietags76eab', 0, 3, 32, '2026-11-28 03:35:53.549297+00', NULL),
	(21, 'booking.cancelled', 'evt_06h20ea2vuh6umcr02atni3e58', 'usr_06h20e9s072n1msnra9bqahrcc', 'bk_06h20ea2vu6dokv7gedjmivsm3', 0, 3, 34, '2026-11-28 03:35:53.598967+00', NULL),
	(22, 'booking.confirmed', 'evt_06h20ea4eg72h688kp3pskopo0', 'usr_06h20e9s072n1msnra9bqahrcc', 'bk_06h20ea4egccqdkrtsg890elik', 0, 3, 40, '2026-11-28 03:35:53.808188+00', NULL),
	(23, 'booking.confirmed', 'evt_06h20ea4eg72h688kp3pskopo0', 'usr_06h20e9s072n1msnra9bqahrcc', 'bk_06h20ea4egbgn7jen3drajshvv', 0, 3, 41, '2026-11-28 03:35:53.808188+00', NULL),
	(24, 'booking.cancelled', 'evt_06h20ea4eg72h688kp3pskopo0', 'usr_06h20e9s072n1msnra9bqahrcc', 'bk_06h20ea4egccqdkrtsg890elik', 0, 3, 44, '2026-11-28 03:35:53.863704+00', NULL),
	(25, 'waitlist.offered', 'evt_06h20ea4eg72h688kp3pskopo0', 'usr_06h20e9thqq4me1liql0rl69g0', 'wl_06h20ea4eg83b4g2tfg5c1gd5h', 0, 3, 45, '2026-11-28 03:35:53.863704+00', NULL),
	(26, 'booking.confirmed', 'evt_06h20ea5g4dh55i0pnf9aae3mo', 'usr_06h20e9s072n1msnra9bqahrcc', 'bk_06h20ea5g4b33qu9cthe7ubhrr', 0, 3, 48, '2026-11-28 03:35:54.072589+00', NULL),
	(27, 'event.cancelled', 'evt_06h20ea5g4dh55i0pnf9aae3mo', 'usr_06h20e9s072n1msnra9bqahrcc', 'bk_06h20ea5g4b33qu9cthe7ubhrr', 0, 3, 52, '2026-11-28 03:35:54.174582+00', NULL),
	(28, 'booking.confirmed', 'evt_06h20ea670dn7nrvsq7g4ko6js', 'usr_06h20e9s072n1msnra9bqahrcc', 'bk_06h20ea670qk3u9il0675dj14v', 0, 3, 54, '2026-11-28 03:35:54.284031+00', NULL),
	(29, 'booking.confirmed', 'evt_06h20ea670dn7nrvsq7g4ko6js', 'usr_06h20e9so8kgn9tmrtle497918', 'bk_06h20ea670crf92g0f5q13a9a9', 0, 3, 55, '2026-11-28 03:35:54.335169+00', NULL),
	(30, 'booking.cancelled', 'evt_06h20ea670dn7nrvsq7g4ko6js', 'usr_06h20e9so8kgn9tmrtle497918', 'bk_06h20ea670crf92g0f5q13a9a9', 0, 3, 58, '2026-11-28 03:35:54.385636+00', NULL),
	(31, 'waitlist.offered', 'evt_06h20ea670dn7nrvsq7g4ko6js', 'usr_06h20e9thqq4me1liql0rl69g0', 'wl_06h20ea670uk6t5nif27uc2f8j', 0, 3, 59, '2026-11-28 03:35:54.385636+00', NULL),
	(32, 'booking.confirmed', 'evt_06h20ea670dn7nrvsq7g4ko6js', 'usr_06h20e9thqq4me1liql0rl69g0', 'bk_06h20ea670i1p687rj2bia9h0b', 0, 3, 61, '2026-11-28 03:35:54.49817+00', NULL);
INSERT INTO public.promos VALUES
	('evt_06h20e9u52lmn731s6hd196gi4', 'TENTH', 5, 10, 0, '{}'),
	('evt_06h20e9u52lmn731s6hd196gi4', 'SECRET', 2, 0, 300, '{3}');
INSERT INTO public.sections VALUES
	('evt_06h20e9u52lmn731s6hd196gi4', 1, 1, 'Left', '6,6', '', '[{"name": "A"}, {"name": "B"}]');
INSERT INTO public.shard_checkpoint VALUES
	(0, 1, 18, '2026-11-28 03:35:38.779106+00', 4192),
	(0, 2, 0, '2026-11-28 03:35:38.819873+00', 0),
	(0, 3, 61, '2026-11-28 03:35:54.49817+00', 16773);
INSERT INTO public.shard_epoch VALUES
	(0, 3, 'open', 'recover-b2448c0bcf4b2d83', '2026-11-28 03:35:59.875061+00', '94a824b50b78d11bcbb8da75fc2d7906', 'aac5bc53c7a8c0c71bc060ab3cfa8c9caac873c0', '', '2026-11-28 03:35:50.688356+00', '710392ae1b12e9adedef26767f7e1e590ba5d155', 0, false);
INSERT INTO public.tickets_y2026 VALUES
	('evt_06h20e7pudda5d4tavkfe0f3nc', 'tkt_06h20e7pudqqftv96r7rke8b9h_1', 'bk_06h20e7pudqqftv96r7rke8b9h', 1, NULL, true, 'valid', 1, NULL, NULL, NULL, NULL, NULL, NULL),
	('evt_06h20e7pudda5d4tavkfe0f3nc', 'tkt_06h20e7pudqqftv96r7rke8b9h_2', 'bk_06h20e7pudqqftv96r7rke8b9h', 1, NULL, true, 'valid', 1, NULL, NULL, NULL, NULL, NULL, NULL),
	('evt_06h20e7pudda5d4tavkfe0f3nc', 'tkt_06h20e7pudbqc6vh8r74a9tssa_1', 'bk_06h20e7pudbqc6vh8r74a9tssa', 1, NULL, true, 'valid', 1, NULL, NULL, NULL, NULL, NULL, NULL),
	('evt_06h20e7pudda5d4tavkfe0f3nc', 'tkt_06h20e7pudbqc6vh8r74a9tssa_2', 'bk_06h20e7pudbqc6vh8r74a9tssa', 1, NULL, true, 'valid', 1, NULL, NULL, NULL, NULL, NULL, NULL),
	('evt_06h20e7pudda5d4tavkfe0f3nc', 'tkt_06h20e7pudbqc6vh8r74a9kept_1', 'bk_06h20e7pudbqc6vh8r74a9kept', 2, NULL, true, 'valid', 1, NULL, NULL, NULL, NULL, NULL, NULL),
	('evt_06h20e9u52lmn731s6hd196gi4', 'tkt_06h20e9u52ph9g3g07654l2vnm_1', 'bk_06h20e9u52ph9g3g07654l2vnm', 3, NULL, true, 'valid', 1, NULL, NULL, NULL, NULL, NULL, NULL),
	('evt_06h20e9u52lmn731s6hd196gi4', 'tkt_06h20e9u52ofprhtfnpt58tun5_1', 'bk_06h20e9u52ofprhtfnpt58tun5', 2, NULL, true, 'valid', 1, NULL, NULL, NULL, NULL, NULL, NULL),
	('evt_06h20e9u52lmn731s6hd196gi4', 'tkt_06h20e9u52ofprhtfnpt58tun5_2', 'bk_06h20e9u52ofprhtfnpt58tun5', 2, NULL, true, 'valid', 1, NULL, NULL, NULL, NULL, NULL, NULL),
	('evt_06h20e9u52lmn731s6hd196gi4', 'tkt_06h20e9u52ofprhtfnpt58tun5_3', 'bk_06h20e9u52ofprhtfnpt58tun5', 2, NULL, true, 'valid', 1, NULL, NULL, NULL, NULL, NULL, NULL),
	('evt_06h20e9u52lmn731s6hd196gi4', 'tkt_06h20e9u52ofprhtfnpt58tun5_4', 'bk_06h20e9u52ofprhtfnpt58tun5', 3, NULL, true, 'valid', 1, NULL, NULL, NULL, NULL, NULL, NULL),
	('evt_06h20e9u52lmn731s6hd196gi4', 'tkt_06h20e9u52ofprhtfnpt58tun5_5', 'bk_06h20e9u52ofprhtfnpt58tun5', 3, NULL, true, 'valid', 1, NULL, NULL, NULL, NULL, NULL, NULL),
	('evt_06h20e9u52lmn731s6hd196gi4', 'tkt_06h20e9u52b62nbs9unvagrsem_1', 'bk_06h20e9u52b62nbs9unvagrsem', 1, 's1-12', false, 'valid', 1, NULL, NULL, NULL, NULL, NULL, NULL),
	('evt_06h20e9u52lmn731s6hd196gi4', 'tkt_06h20e9u52k0gtb8c2m9528jlh_1', 'bk_06h20e9u52k0gtb8c2m9528jlh', 1, 's1-9', true, 'checked_in', 1, 'usr_06h20e9s072n1msnra9bqahrcc', '2026-11-28 03:35:52.756+00', '-', 'usr_06h20e9r4tt4mo0pm7gf6ip014', 3, 17),
	('evt_06h20e9u52lmn731s6hd196gi4', 'tkt_06h20e9u52k0gtb8c2m9528jlh_2', 'bk_06h20e9u52k0gtb8c2m9528jlh', 1, 's1-10', true, 'valid', 2, 'usr_06h20e9so8kgn9tmrtle497918', '2026-11-28 03:35:52.791+00', '-', 'usr_06h20e9s072n1msnra9bqahrcc', 3, 18),
	('evt_06h20ea15g2bmduo1bci0ce6pc', 'tkt_06h20ea15g9ln634c4t0lrgfrk_1', 'bk_06h20ea15g9ln634c4t0lrgfrk', 1, NULL, true, 'valid', 1, NULL, NULL, NULL, NULL, NULL, NULL),
	('evt_06h20ea15g2bmduo1bci0ce6pc', 'tkt_06h20ea15g9ln634c4t0lrgfrk_2', 'bk_06h20ea15g9ln634c4t0lrgfrk', 1, NULL, true, 'valid', 1, NULL, NULL, NULL, NULL, NULL, NULL),
	('evt_06h20ea15g2bmduo1bci0ce6pc', 'tkt_06h20ea15g6egjskmfmmps83ip_1', 'bk_06h20ea15g6egjskmfmmps83ip', 1, NULL, true, 'valid', 1, NULL, NULL, NULL, NULL, NULL, NULL),
	('evt_06h20ea2vuh6umcr02atni3e58', 'tkt_06h20ea2vu6dokv7gedjmivsm3_1', 'bk_06h20ea2vu6dokv7gedjmivsm3', 1, NULL, true, 'valid', 1, NULL, NULL, NULL, NULL, NULL, NULL),
	('evt_06h20ea2vuh6umcr02atni3e58', 'tkt_06h20ea2vu3fg0qietags76eab_1', 'bk_06h20ea2vu3fg0qietags76eab', 1, NULL, true, 'valid', 1, NULL, NULL, NULL, NULL, NULL, NULL),
	('evt_06h20ea4eg72h688kp3pskopo0', 'tkt_06h20ea4egccqdkrtsg890elik_1', 'bk_06h20ea4egccqdkrtsg890elik', 1, NULL, true, 'valid', 1, NULL, NULL, NULL, NULL, NULL, NULL),
	('evt_06h20ea4eg72h688kp3pskopo0', 'tkt_06h20ea4egbgn7jen3drajshvv_1', 'bk_06h20ea4egbgn7jen3drajshvv', 1, NULL, true, 'valid', 1, NULL, NULL, NULL, NULL, NULL, NULL),
	('evt_06h20ea5g4dh55i0pnf9aae3mo', 'tkt_06h20ea5g4b33qu9cthe7ubhrr_1', 'bk_06h20ea5g4b33qu9cthe7ubhrr', 1, NULL, true, 'valid', 1, NULL, NULL, NULL, NULL, NULL, NULL),
	('evt_06h20ea670dn7nrvsq7g4ko6js', 'tkt_06h20ea670qk3u9il0675dj14v_1', 'bk_06h20ea670qk3u9il0675dj14v', 1, NULL, true, 'valid', 1, NULL, NULL, NULL, NULL, NULL, NULL),
	('evt_06h20ea670dn7nrvsq7g4ko6js', 'tkt_06h20ea670qk3u9il0675dj14v_2', 'bk_06h20ea670qk3u9il0675dj14v', 1, NULL, true, 'valid', 1, NULL, NULL, NULL, NULL, NULL, NULL),
	('evt_06h20ea670dn7nrvsq7g4ko6js', 'tkt_06h20ea670qk3u9il0675dj14v_3', 'bk_06h20ea670qk3u9il0675dj14v', 1, NULL, true, 'valid', 1, NULL, NULL, NULL, NULL, NULL, NULL),
	('evt_06h20ea670dn7nrvsq7g4ko6js', 'tkt_06h20ea670qk3u9il0675dj14v_4', 'bk_06h20ea670qk3u9il0675dj14v', 1, NULL, true, 'valid', 1, NULL, NULL, NULL, NULL, NULL, NULL),
	('evt_06h20ea670dn7nrvsq7g4ko6js', 'tkt_06h20ea670qk3u9il0675dj14v_5', 'bk_06h20ea670qk3u9il0675dj14v', 1, NULL, true, 'valid', 1, NULL, NULL, NULL, NULL, NULL, NULL),
	('evt_06h20ea670dn7nrvsq7g4ko6js', 'tkt_06h20ea670crf92g0f5q13a9a9_1', 'bk_06h20ea670crf92g0f5q13a9a9', 1, NULL, true, 'valid', 1, NULL, NULL, NULL, NULL, NULL, NULL),
	('evt_06h20ea670dn7nrvsq7g4ko6js', 'tkt_06h20ea670i1p687rj2bia9h0b_1', 'bk_06h20ea670i1p687rj2bia9h0b', 2, NULL, true, 'valid', 1, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.tiers VALUES
	('evt_06h20e7pudda5d4tavkfe0f3nc', 1, 'tier_06h20e7pufmv8001vrjbg7moec', 'T1', 1000, 4, 10, 0, 0, NULL, NULL, false),
	('evt_06h20e7pudda5d4tavkfe0f3nc', 2, 'tier_06h20e7puedgv20kor5kck7fb0', 'T2', 2000, 3, 10, 0, 0, NULL, NULL, false),
	('evt_06h20e9u52lmn731s6hd196gi4', 1, 'tier_06h20e9u50u678mmb75h8ss340', 'T1', 1000, 12, 10, 0, 0, NULL, NULL, false),
	('evt_06h20e9u52lmn731s6hd196gi4', 2, 'tier_06h20e9u51g7tcvngp1hg20v34', 'T2', 2000, 20, 4, 2, 6, NULL, '2099-06-01 19:00:00+00', false),
	('evt_06h20e9u52lmn731s6hd196gi4', 3, 'tier_06h20e9u52u43nsej7mle8ldu8', 'T3', 3000, 5, 10, 0, 0, NULL, NULL, true),
	('evt_06h20ea15g2bmduo1bci0ce6pc', 1, 'tier_06h20ea15iscforf70vbhpo0bk', 'T1', 1000, 2, 10, 0, 0, NULL, NULL, false),
	('evt_06h20ea2vuh6umcr02atni3e58', 1, 'tier_06h20ea2vsjk3f9e04snuibdh0', 'T1', 1000, 2, 10, 0, 0, NULL, NULL, false),
	('evt_06h20ea4eg72h688kp3pskopo0', 1, 'tier_06h20ea4eh5knlcoocms3kjrok', 'T1', 1000, 2, 10, 0, 0, NULL, NULL, false),
	('evt_06h20ea15g2bmduo1bci0ce6pc', 2, 'tier_06h20ea15g2t2fogt0dfktlki8', 'T2', 2000, 4, 10, 0, 0, NULL, NULL, false),
	('evt_06h20ea5g4dh55i0pnf9aae3mo', 1, 'tier_06h20ea5g6gjoe9ub174n136f4', 'T1', 1000, 5, 10, 0, 0, NULL, NULL, false),
	('evt_06h20ea670dn7nrvsq7g4ko6js', 1, 'tier_06h20ea673i07b6qopmjqlp6gk', 'T1', 1000, 6, 10, 0, 0, NULL, NULL, false),
	('evt_06h20ea670dn7nrvsq7g4ko6js', 2, 'tier_06h20ea673ukde41gmh75e2lds', 'T2', 2000, 10, 10, 0, 0, NULL, NULL, false);
INSERT INTO public.users VALUES
	('usr_06h20e6u7h72petbvtur8u33g0', 'admin@evently.localhost', 'Admin', 'none', 'admin', 'org_06h20e6u6vne2s063macftkbto', '2026-11-28 03:35:27.373524+00'),
	('usr_06h20e7lm747ftovlosautgr8c', 'boss@example.org', 'boss', 'none', 'organizer', 'org_06h20e6u6vne2s063macftkbto', '2026-11-28 03:35:33.553928+00'),
	('usr_06h20e7neipvmjdeavsin0g4hs', 'ann@example.org', 'ann', 'none', 'user', NULL, '2026-11-28 03:35:34.004664+00'),
	('usr_06h20e7oan9ds5vv3khljve874', 'bob@example.org', 'bob', 'none', 'user', NULL, '2026-11-28 03:35:34.229942+00'),
	('usr_06h20e7pc8q286kqlm46pg1cdo', 'cid@example.org', 'cid', 'none', 'user', NULL, '2026-11-28 03:35:34.502575+00'),
	('usr_06h20e9q6g68ttntloud1n7mi8', 'chief@example.org', 'chief', 'none', 'organizer', 'org_06h20e6u6vne2s063macftkbto', '2026-11-28 03:35:51.093266+00'),
	('usr_06h20e9r4tt4mo0pm7gf6ip014', 'staff@example.org', 'staff', 'none', 'staff', 'org_06h20e6u6vne2s063macftkbto', '2026-11-28 03:35:51.338643+00'),
	('usr_06h20e9s072n1msnra9bqahrcc', 'dan@example.org', 'dan', 'none', 'user', NULL, '2026-11-28 03:35:51.554475+00'),
	('usr_06h20e9so8kgn9tmrtle497918', 'eve@example.org', 'eve', 'none', 'user', NULL, '2026-11-28 03:35:51.747129+00'),
	('usr_06h20e9thqq4me1liql0rl69g0', 'fay@example.org', 'fay', 'none', 'user', NULL, '2026-11-28 03:35:51.950866+00');
INSERT INTO public.waitlist_entries VALUES
	('evt_06h20e7pudda5d4tavkfe0f3nc', 'wl_06h20e7pudqcr2d5vok5p1ajqq', 'usr_06h20e7oan9ds5vv3khljve874', 1, 1, '000000000001', 'expired', 3, '864662659d8640bf', 0, 1, 10, '2026-11-28 03:35:37.422+00', NULL, '2026-11-28 03:35:37.445+00', 1, 13, '2026-11-28 03:35:38.634+00'),
	('evt_06h20ea15g2bmduo1bci0ce6pc', 'wl_06h20ea15g7kpcl40lqapg42am', 'usr_06h20e9so8kgn9tmrtle497918', 1, 2, '100000000001', 'declined', 3, '633c14605f0ed040', 0, 3, 23, '2026-11-28 03:35:53.117+00', NULL, '2026-11-28 03:35:53.195+00', 3, 27, '2026-11-28 03:35:53.295+00'),
	('evt_06h20ea15g2bmduo1bci0ce6pc', 'wl_06h20ea15g6egjskmfmmps83ip', 'usr_06h20e9thqq4me1liql0rl69g0', 1, 1, '100000000002', 'accepted', 3, 'd6098b5b06141f5c', 0, 3, 24, '2026-11-28 03:35:53.146+00', NULL, '2026-11-28 03:35:53.295+00', 3, 29, '2026-11-28 03:35:53.327+00'),
	('evt_06h20ea2vuh6umcr02atni3e58', 'wl_06h20ea2vukos618jbnm8qhjp4', 'usr_06h20e9so8kgn9tmrtle497918', 1, 2, '100000000001', 'waiting', 1, 'f17d1e9f97e5fdb4', 0, 3, 33, '2026-11-28 03:35:53.537+00', '2026-11-28 03:35:53.585+00', NULL, 3, 35, '2026-11-28 03:35:53.585+00'),
	('evt_06h20ea2vuh6umcr02atni3e58', 'wl_06h20ea2vumvatgaaqvdou1f47', 'usr_06h20e9thqq4me1liql0rl69g0', 1, 1, '100000000002', 'waiting', 1, 'da792441d19048f1', 0, 3, 36, '2026-11-28 03:35:53.637+00', NULL, NULL, 3, 36, '2026-11-28 03:35:53.637+00'),
	('evt_06h20ea2vuh6umcr02atni3e58', 'wl_06h20ea2vuli15fqus2i3cr9oq', 'usr_06h20e9s072n1msnra9bqahrcc', 1, 1, '100000000003', 'left', 2, 'da792441d19048f1', 0, 3, 37, '2026-11-28 03:35:53.666+00', NULL, NULL, 3, 38, '2026-11-28 03:35:53.704+00'),
	('evt_06h20ea4eg72h688kp3pskopo0', 'wl_06h20ea4egk0qg0cjrvldg6sop', 'usr_06h20e9so8kgn9tmrtle497918', 1, 2, '100000000001', 'waiting', 1, '0cbe2456727dc237', 0, 3, 42, '2026-11-28 03:35:53.803+00', NULL, NULL, 3, 42, '2026-11-28 03:35:53.803+00'),
	('evt_06h20ea4eg72h688kp3pskopo0', 'wl_06h20ea4eg83b4g2tfg5c1gd5h', 'usr_06h20e9thqq4me1liql0rl69g0', 1, 1, '100000000002', 'offered', 2, 'c368ba409d658983', 0, 3, 43, '2026-11-28 03:35:53.814+00', NULL, '2026-11-28 03:35:53.839+00', 3, 45, '2026-11-28 03:35:53.839+00'),
	('evt_06h20ea670dn7nrvsq7g4ko6js', 'wl_06h20ea670qoq0qtb9to7ame3o', 'usr_06h20e9so8kgn9tmrtle497918', 1, 1, '100000000002', 'waiting', 1, 'bd1da3bfa90d0067', 0, 3, 57, '2026-11-28 03:35:54.325+00', NULL, NULL, 3, 57, '2026-11-28 03:35:54.325+00'),
	('evt_06h20ea670dn7nrvsq7g4ko6js', 'wl_06h20ea670uk6t5nif27uc2f8j', 'usr_06h20e9thqq4me1liql0rl69g0', 1, 1, '100000000001', 'offered', 2, 'bd1da3bfa90d0067', 0, 3, 56, '2026-11-28 03:35:54.3+00', NULL, '2026-11-28 03:35:54.366+00', 3, 59, '2026-11-28 03:35:54.366+00');
SELECT pg_catalog.setval('public.conflicts_id_seq', 1, true);
SELECT pg_catalog.setval('public.outbox_id_seq', 32, true);
ALTER TABLE ONLY public.blocked_seats
    ADD CONSTRAINT blocked_seats_pkey PRIMARY KEY (event_id, seat_id);
ALTER TABLE ONLY public.bookings
    ADD CONSTRAINT bookings_pkey PRIMARY KEY (event_id, id);
ALTER TABLE ONLY public.bookings_rest
    ADD CONSTRAINT bookings_rest_pkey PRIMARY KEY (event_id, id);
ALTER TABLE ONLY public.bookings_y2026
    ADD CONSTRAINT bookings_y2026_pkey PRIMARY KEY (event_id, id);
ALTER TABLE ONLY public.bookings_y2027
    ADD CONSTRAINT bookings_y2027_pkey PRIMARY KEY (event_id, id);
ALTER TABLE ONLY public.bookings_y2028
    ADD CONSTRAINT bookings_y2028_pkey PRIMARY KEY (event_id, id);
ALTER TABLE ONLY public.bookings_y2029
    ADD CONSTRAINT bookings_y2029_pkey PRIMARY KEY (event_id, id);
ALTER TABLE ONLY public.conflicts
    ADD CONSTRAINT conflicts_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.conflicts
    ADD CONSTRAINT conflicts_shard_epoch_seq_record_key UNIQUE (shard, epoch, seq, record);
ALTER TABLE ONLY public.events
    ADD CONSTRAINT events_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.items
    ADD CONSTRAINT items_pkey PRIMARY KEY (event_id, booking_id, line);
ALTER TABLE ONLY public.items_rest
    ADD CONSTRAINT items_rest_pkey PRIMARY KEY (event_id, booking_id, line);
ALTER TABLE ONLY public.items_y2026
    ADD CONSTRAINT items_y2026_pkey PRIMARY KEY (event_id, booking_id, line);
ALTER TABLE ONLY public.items_y2027
    ADD CONSTRAINT items_y2027_pkey PRIMARY KEY (event_id, booking_id, line);
ALTER TABLE ONLY public.items_y2028
    ADD CONSTRAINT items_y2028_pkey PRIMARY KEY (event_id, booking_id, line);
ALTER TABLE ONLY public.items_y2029
    ADD CONSTRAINT items_y2029_pkey PRIMARY KEY (event_id, booking_id, line);
ALTER TABLE ONLY public.journal
    ADD CONSTRAINT journal_pkey PRIMARY KEY (shard, epoch, first_seq, first_at);
ALTER TABLE ONLY public.journal_rest
    ADD CONSTRAINT journal_rest_pkey PRIMARY KEY (shard, epoch, first_seq, first_at);
ALTER TABLE ONLY public.journal_y2026
    ADD CONSTRAINT journal_y2026_pkey PRIMARY KEY (shard, epoch, first_seq, first_at);
ALTER TABLE ONLY public.journal_y2027
    ADD CONSTRAINT journal_y2027_pkey PRIMARY KEY (shard, epoch, first_seq, first_at);
ALTER TABLE ONLY public.journal_y2028
    ADD CONSTRAINT journal_y2028_pkey PRIMARY KEY (shard, epoch, first_seq, first_at);
ALTER TABLE ONLY public.journal_y2029
    ADD CONSTRAINT journal_y2029_pkey PRIMARY KEY (shard, epoch, first_seq, first_at);
ALTER TABLE ONLY public.migrations
    ADD CONSTRAINT migrations_pkey PRIMARY KEY (name);
ALTER TABLE ONLY public.organizers
    ADD CONSTRAINT organizers_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.outbox
    ADD CONSTRAINT outbox_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.outbox
    ADD CONSTRAINT outbox_shard_epoch_seq_subject_id_key UNIQUE (shard, epoch, seq, subject_id);
ALTER TABLE ONLY public.promos
    ADD CONSTRAINT promos_pkey PRIMARY KEY (event_id, code);
ALTER TABLE ONLY public.quarantine
    ADD CONSTRAINT quarantine_pkey PRIMARY KEY (shard, epoch, seq);
ALTER TABLE ONLY public.redo
    ADD CONSTRAINT redo_pkey PRIMARY KEY (shard, epoch, seq, worker);
ALTER TABLE ONLY public.sections
    ADD CONSTRAINT sections_pkey PRIMARY KEY (event_id, section_no);
ALTER TABLE ONLY public.shard_checkpoint
    ADD CONSTRAINT shard_checkpoint_pkey PRIMARY KEY (shard, epoch);
ALTER TABLE ONLY public.shard_epoch
    ADD CONSTRAINT shard_epoch_pkey PRIMARY KEY (shard);
ALTER TABLE ONLY public.tickets
    ADD CONSTRAINT tickets_pkey PRIMARY KEY (event_id, id);
ALTER TABLE ONLY public.tickets_rest
    ADD CONSTRAINT tickets_rest_pkey PRIMARY KEY (event_id, id);
ALTER TABLE ONLY public.tickets_y2026
    ADD CONSTRAINT tickets_y2026_pkey PRIMARY KEY (event_id, id);
ALTER TABLE ONLY public.tickets_y2027
    ADD CONSTRAINT tickets_y2027_pkey PRIMARY KEY (event_id, id);
ALTER TABLE ONLY public.tickets_y2028
    ADD CONSTRAINT tickets_y2028_pkey PRIMARY KEY (event_id, id);
ALTER TABLE ONLY public.tickets_y2029
    ADD CONSTRAINT tickets_y2029_pkey PRIMARY KEY (event_id, id);
ALTER TABLE ONLY public.tiers
    ADD CONSTRAINT tiers_id_key UNIQUE (id);
ALTER TABLE ONLY public.tiers
    ADD CONSTRAINT tiers_pkey PRIMARY KEY (event_id, tier_no);
ALTER TABLE ONLY public.users
    ADD CONSTRAINT users_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.waitlist_entries
    ADD CONSTRAINT waitlist_entries_event_id_tier_no_join_no_key UNIQUE (event_id, tier_no, join_no);
ALTER TABLE ONLY public.waitlist_entries
    ADD CONSTRAINT waitlist_entries_pkey PRIMARY KEY (event_id, id);
CREATE INDEX bookings_by_user ON ONLY public.bookings USING btree (user_id, created_at DESC, id DESC);
CREATE INDEX bookings_rest_user_id_created_at_id_idx ON public.bookings_rest USING btree (user_id, created_at DESC, id DESC);
CREATE INDEX bookings_y2026_user_id_created_at_id_idx ON public.bookings_y2026 USING btree (user_id, created_at DESC, id DESC);
CREATE INDEX bookings_y2027_user_id_created_at_id_idx ON public.bookings_y2027 USING btree (user_id, created_at DESC, id DESC);
CREATE INDEX bookings_y2028_user_id_created_at_id_idx ON public.bookings_y2028 USING btree (user_id, created_at DESC, id DESC);
CREATE INDEX bookings_y2029_user_id_created_at_id_idx ON public.bookings_y2029 USING btree (user_id, created_at DESC, id DESC);
CREATE INDEX events_by_organizer ON public.events USING btree (organizer_id, id);
CREATE INDEX events_by_shard ON public.events USING btree (shard, id) WHERE (status <> 'draft'::public.event_status);
CREATE INDEX events_by_start ON public.events USING btree (starts_at, id) WHERE (status <> 'draft'::public.event_status);
CREATE INDEX journal_sales ON ONLY public.journal USING btree (shard, epoch, first_seq) WHERE ((strpos(records, '"kind":"published"'::text) > 0) OR (strpos(records, '"kind":"capacity_set"'::text) > 0) OR (strpos(records, '"kind":"closed"'::text) > 0) OR (strpos(records, '"kind":"reopened"'::text) > 0) OR (strpos(records, '"kind":"event_cancelled"'::text) > 0));
CREATE INDEX journal_rest_shard_epoch_first_seq_idx ON public.journal_rest USING btree (shard, epoch, first_seq) WHERE ((strpos(records, '"kind":"published"'::text) > 0) OR (strpos(records, '"kind":"capacity_set"'::text) > 0) OR (strpos(records, '"kind":"closed"'::text) > 0) OR (strpos(records, '"kind":"reopened"'::text) > 0) OR (strpos(records, '"kind":"event_cancelled"'::text) > 0));
CREATE INDEX journal_y2026_shard_epoch_first_seq_idx ON public.journal_y2026 USING btree (shard, epoch, first_seq) WHERE ((strpos(records, '"kind":"published"'::text) > 0) OR (strpos(records, '"kind":"capacity_set"'::text) > 0) OR (strpos(records, '"kind":"closed"'::text) > 0) OR (strpos(records, '"kind":"reopened"'::text) > 0) OR (strpos(records, '"kind":"event_cancelled"'::text) > 0));
CREATE INDEX journal_y2027_shard_epoch_first_seq_idx ON public.journal_y2027 USING btree (shard, epoch, first_seq) WHERE ((strpos(records, '"kind":"published"'::text) > 0) OR (strpos(records, '"kind":"capacity_set"'::text) > 0) OR (strpos(records, '"kind":"closed"'::text) > 0) OR (strpos(records, '"kind":"reopened"'::text) > 0) OR (strpos(records, '"kind":"event_cancelled"'::text) > 0));
CREATE INDEX journal_y2028_shard_epoch_first_seq_idx ON public.journal_y2028 USING btree (shard, epoch, first_seq) WHERE ((strpos(records, '"kind":"published"'::text) > 0) OR (strpos(records, '"kind":"capacity_set"'::text) > 0) OR (strpos(records, '"kind":"closed"'::text) > 0) OR (strpos(records, '"kind":"reopened"'::text) > 0) OR (strpos(records, '"kind":"event_cancelled"'::text) > 0));
CREATE INDEX journal_y2029_shard_epoch_first_seq_idx ON public.journal_y2029 USING btree (shard, epoch, first_seq) WHERE ((strpos(records, '"kind":"published"'::text) > 0) OR (strpos(records, '"kind":"capacity_set"'::text) > 0) OR (strpos(records, '"kind":"closed"'::text) > 0) OR (strpos(records, '"kind":"reopened"'::text) > 0) OR (strpos(records, '"kind":"event_cancelled"'::text) > 0));
CREATE INDEX outbox_unsent ON public.outbox USING btree (id) WHERE (sent_at IS NULL);
CREATE INDEX quarantine_held ON public.quarantine USING btree (shard, epoch, seq) WHERE (state = 'held'::public.quarantine_state);
CREATE INDEX tickets_by_holder ON ONLY public.tickets USING btree (holder_id, changed_at DESC) WHERE (holder_id IS NOT NULL);
CREATE INDEX tickets_changed ON ONLY public.tickets USING btree (event_id) WHERE (seq IS NOT NULL);
CREATE UNIQUE INDEX tickets_live_seat ON ONLY public.tickets USING btree (event_id, seat_id) WHERE (is_live AND (seat_id IS NOT NULL));
CREATE INDEX tickets_rest_event_id_idx ON public.tickets_rest USING btree (event_id) WHERE (seq IS NOT NULL);
CREATE UNIQUE INDEX tickets_rest_event_id_seat_id_idx ON public.tickets_rest USING btree (event_id, seat_id) WHERE (is_live AND (seat_id IS NOT NULL));
CREATE INDEX tickets_rest_holder_id_changed_at_idx ON public.tickets_rest USING btree (holder_id, changed_at DESC) WHERE (holder_id IS NOT NULL);
CREATE INDEX tickets_y2026_event_id_idx ON public.tickets_y2026 USING btree (event_id) WHERE (seq IS NOT NULL);
CREATE UNIQUE INDEX tickets_y2026_event_id_seat_id_idx ON public.tickets_y2026 USING btree (event_id, seat_id) WHERE (is_live AND (seat_id IS NOT NULL));
CREATE INDEX tickets_y2026_holder_id_changed_at_idx ON public.tickets_y2026 USING btree (holder_id, changed_at DESC) WHERE (holder_id IS NOT NULL);
CREATE INDEX tickets_y2027_event_id_idx ON public.tickets_y2027 USING btree (event_id) WHERE (seq IS NOT NULL);
CREATE UNIQUE INDEX tickets_y2027_event_id_seat_id_idx ON public.tickets_y2027 USING btree (event_id, seat_id) WHERE (is_live AND (seat_id IS NOT NULL));
CREATE INDEX tickets_y2027_holder_id_changed_at_idx ON public.tickets_y2027 USING btree (holder_id, changed_at DESC) WHERE (holder_id IS NOT NULL);
CREATE INDEX tickets_y2028_event_id_idx ON public.tickets_y2028 USING btree (event_id) WHERE (seq IS NOT NULL);
CREATE UNIQUE INDEX tickets_y2028_event_id_seat_id_idx ON public.tickets_y2028 USING btree (event_id, seat_id) WHERE (is_live AND (seat_id IS NOT NULL));
CREATE INDEX tickets_y2028_holder_id_changed_at_idx ON public.tickets_y2028 USING btree (holder_id, changed_at DESC) WHERE (holder_id IS NOT NULL);
CREATE INDEX tickets_y2029_event_id_idx ON public.tickets_y2029 USING btree (event_id) WHERE (seq IS NOT NULL);
CREATE UNIQUE INDEX tickets_y2029_event_id_seat_id_idx ON public.tickets_y2029 USING btree (event_id, seat_id) WHERE (is_live AND (seat_id IS NOT NULL));
CREATE INDEX tickets_y2029_holder_id_changed_at_idx ON public.tickets_y2029 USING btree (holder_id, changed_at DESC) WHERE (holder_id IS NOT NULL);
CREATE UNIQUE INDEX users_email ON public.users USING btree (lower(email));
CREATE INDEX waitlist_by_offer ON public.waitlist_entries USING btree (event_id, tier_no, offered_at) WHERE (offered_at IS NOT NULL);
CREATE INDEX waitlist_by_user ON public.waitlist_entries USING btree (user_id, joined_at DESC, id DESC);
CREATE UNIQUE INDEX waitlist_live ON public.waitlist_entries USING btree (event_id, tier_no, user_id) WHERE (status = ANY (ARRAY['waiting'::public.waitlist_status, 'offered'::public.waitlist_status]));
ALTER INDEX public.bookings_pkey ATTACH PARTITION public.bookings_rest_pkey;
ALTER INDEX public.bookings_by_user ATTACH PARTITION public.bookings_rest_user_id_created_at_id_idx;
ALTER INDEX public.bookings_pkey ATTACH PARTITION public.bookings_y2026_pkey;
ALTER INDEX public.bookings_by_user ATTACH PARTITION public.bookings_y2026_user_id_created_at_id_idx;
ALTER INDEX public.bookings_pkey ATTACH PARTITION public.bookings_y2027_pkey;
ALTER INDEX public.bookings_by_user ATTACH PARTITION public.bookings_y2027_user_id_created_at_id_idx;
ALTER INDEX public.bookings_pkey ATTACH PARTITION public.bookings_y2028_pkey;
ALTER INDEX public.bookings_by_user ATTACH PARTITION public.bookings_y2028_user_id_created_at_id_idx;
ALTER INDEX public.bookings_pkey ATTACH PARTITION public.bookings_y2029_pkey;
ALTER INDEX public.bookings_by_user ATTACH PARTITION public.bookings_y2029_user_id_created_at_id_idx;
ALTER INDEX public.items_pkey ATTACH PARTITION public.items_rest_pkey;
ALTER INDEX public.items_pkey ATTACH PARTITION public.items_y2026_pkey;
ALTER INDEX public.items_pkey ATTACH PARTITION public.items_y2027_pkey;
ALTER INDEX public.items_pkey ATTACH PARTITION public.items_y2028_pkey;
ALTER INDEX public.items_pkey ATTACH PARTITION public.items_y2029_pkey;
ALTER INDEX public.journal_pkey ATTACH PARTITION public.journal_rest_pkey;
ALTER INDEX public.journal_sales ATTACH PARTITION public.journal_rest_shard_epoch_first_seq_idx;
ALTER INDEX public.journal_pkey ATTACH PARTITION public.journal_y2026_pkey;
ALTER INDEX public.journal_sales ATTACH PARTITION public.journal_y2026_shard_epoch_first_seq_idx;
ALTER INDEX public.journal_pkey ATTACH PARTITION public.journal_y2027_pkey;
ALTER INDEX public.journal_sales ATTACH PARTITION public.journal_y2027_shard_epoch_first_seq_idx;
ALTER INDEX public.journal_pkey ATTACH PARTITION public.journal_y2028_pkey;
ALTER INDEX public.journal_sales ATTACH PARTITION public.journal_y2028_shard_epoch_first_seq_idx;
ALTER INDEX public.journal_pkey ATTACH PARTITION public.journal_y2029_pkey;
ALTER INDEX public.journal_sales ATTACH PARTITION public.journal_y2029_shard_epoch_first_seq_idx;
ALTER INDEX public.tickets_changed ATTACH PARTITION public.tickets_rest_event_id_idx;
ALTER INDEX public.tickets_live_seat ATTACH PARTITION public.tickets_rest_event_id_seat_id_idx;
ALTER INDEX public.tickets_by_holder ATTACH PARTITION public.tickets_rest_holder_id_changed_at_idx;
ALTER INDEX public.tickets_pkey ATTACH PARTITION public.tickets_rest_pkey;
ALTER INDEX public.tickets_changed ATTACH PARTITION public.tickets_y2026_event_id_idx;
ALTER INDEX public.tickets_live_seat ATTACH PARTITION public.tickets_y2026_event_id_seat_id_idx;
ALTER INDEX public.tickets_by_holder ATTACH PARTITION public.tickets_y2026_holder_id_changed_at_idx;
ALTER INDEX public.tickets_pkey ATTACH PARTITION public.tickets_y2026_pkey;
ALTER INDEX public.tickets_changed ATTACH PARTITION public.tickets_y2027_event_id_idx;
ALTER INDEX public.tickets_live_seat ATTACH PARTITION public.tickets_y2027_event_id_seat_id_idx;
ALTER INDEX public.tickets_by_holder ATTACH PARTITION public.tickets_y2027_holder_id_changed_at_idx;
ALTER INDEX public.tickets_pkey ATTACH PARTITION public.tickets_y2027_pkey;
ALTER INDEX public.tickets_changed ATTACH PARTITION public.tickets_y2028_event_id_idx;
ALTER INDEX public.tickets_live_seat ATTACH PARTITION public.tickets_y2028_event_id_seat_id_idx;
ALTER INDEX public.tickets_by_holder ATTACH PARTITION public.tickets_y2028_holder_id_changed_at_idx;
ALTER INDEX public.tickets_pkey ATTACH PARTITION public.tickets_y2028_pkey;
ALTER INDEX public.tickets_changed ATTACH PARTITION public.tickets_y2029_event_id_idx;
ALTER INDEX public.tickets_live_seat ATTACH PARTITION public.tickets_y2029_event_id_seat_id_idx;
ALTER INDEX public.tickets_by_holder ATTACH PARTITION public.tickets_y2029_holder_id_changed_at_idx;
ALTER INDEX public.tickets_pkey ATTACH PARTITION public.tickets_y2029_pkey;
ALTER TABLE ONLY public.events
    ADD CONSTRAINT events_organizer_id_fkey FOREIGN KEY (organizer_id) REFERENCES public.organizers(id);
ALTER TABLE ONLY public.promos
    ADD CONSTRAINT promos_event_id_fkey FOREIGN KEY (event_id) REFERENCES public.events(id);
ALTER TABLE ONLY public.sections
    ADD CONSTRAINT sections_event_id_fkey FOREIGN KEY (event_id) REFERENCES public.events(id);
ALTER TABLE ONLY public.sections
    ADD CONSTRAINT sections_event_id_tier_no_fkey FOREIGN KEY (event_id, tier_no) REFERENCES public.tiers(event_id, tier_no);
ALTER TABLE ONLY public.tiers
    ADD CONSTRAINT tiers_event_id_fkey FOREIGN KEY (event_id) REFERENCES public.events(id);
ALTER TABLE ONLY public.users
    ADD CONSTRAINT users_organizer_id_fkey FOREIGN KEY (organizer_id) REFERENCES public.organizers(id);
