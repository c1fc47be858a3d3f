-- insert_device --
-- By an account that may act at the event's gates now, whatever its token says.
INSERT INTO devices (id, event_id, organizer_id, gate, made_by, code_hash, code_expires_at)
SELECT $1, events.id, events.organizer_id, $3, $4, $5, now() + make_interval(secs => $6::float8)
FROM events
WHERE events.id = $2 AND works_for($4, events.organizer_id, '{owner,manager,box_office,gate}', $2)
RETURNING id, event_id, organizer_id, gate, made_by, created_at, code_expires_at, enrolled_at,
          last_used_at, revoked_at;

-- devices_of --
-- One page of an event's devices, newest first, continuing after (created_at, id).
SELECT id, event_id, organizer_id, gate, made_by, created_at, code_expires_at, enrolled_at,
       last_used_at, revoked_at
FROM devices
WHERE event_id = $1 AND (created_at, id) < ($2, $3)
ORDER BY created_at DESC, id DESC LIMIT $4;

-- count_devices --
-- Of those that are not revoked.
SELECT count(*) FROM devices WHERE event_id = $1 AND revoked_at IS NULL;

-- device_by_id --
SELECT id, event_id, organizer_id, gate, made_by, created_at, code_expires_at, enrolled_at,
       last_used_at, revoked_at
FROM devices WHERE id = $1;

-- enroll_device --
-- A code counts once, within its time, and while its maker may still act at the gates.
UPDATE devices SET code_hash = NULL, prefix = $2, hash = $3, enrolled_at = now()
WHERE code_hash = $1 AND code_expires_at > now() AND revoked_at IS NULL
  AND works_for(made_by, organizer_id, '{owner,manager,box_office,gate}', event_id)
RETURNING id, event_id, organizer_id, gate, made_by, created_at, code_expires_at, enrolled_at,
          last_used_at, revoked_at;

-- revoke_device --
-- Again changes nothing.
UPDATE devices SET revoked_at = coalesce(revoked_at, now()), code_hash = NULL
WHERE id = $1
RETURNING prefix;

-- device_by_prefix --
-- An enrolled device, and when its event is.
SELECT devices.id, devices.event_id, devices.organizer_id, devices.gate, devices.hash,
       devices.revoked_at IS NULL AS is_good, events.starts_at, events.ends_at,
       coalesce(devices.last_used_at < now() - interval '1 minute', true) AS is_due
FROM devices JOIN events ON events.id = devices.event_id
WHERE devices.prefix = $1;

-- touch_device --
UPDATE devices SET last_used_at = now()
WHERE id = $1 AND coalesce(last_used_at < now() - interval '1 minute', true);
