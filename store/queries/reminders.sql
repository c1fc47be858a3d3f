-- ask_sale_reminder --
-- False if the person has as many as there may be.
WITH made AS (
    INSERT INTO sale_reminders (event_id, user_id)
    SELECT $1, $2 WHERE (SELECT count(*) FROM sale_reminders WHERE user_id = $2) < $3
    ON CONFLICT DO NOTHING
    RETURNING event_id
)
SELECT EXISTS (SELECT FROM made)
    OR EXISTS (SELECT FROM sale_reminders WHERE event_id = $1 AND user_id = $2);

-- end_sale_reminder --
DELETE FROM sale_reminders WHERE event_id = $1 AND user_id = $2;

-- has_sale_reminder --
SELECT EXISTS (SELECT FROM sale_reminders WHERE event_id = $1 AND user_id = $2);

-- due_by_start --
-- The next event that starts within $3 ms, and not within $4, whose holders were not all reminded.
SELECT events.id AS event_id, starts_at AS planned_for, coalesce(plan.last_id, '') AS last_id
FROM events LEFT JOIN reminder_plans AS plan
    ON plan.event_id = events.id AND plan.kind = $2 AND plan.planned_for = starts_at
WHERE events.status IN ('published', 'closed') AND events.status <> 'draft'
  AND starts_at > coalesce($1, now()) + $4 * interval '1 ms'
  AND starts_at <= coalesce($1, now()) + $3 * interval '1 ms'
  AND NOT coalesce(plan.is_done, false)
ORDER BY starts_at, events.id LIMIT 1;

-- due_by_opening --
-- The next event whose sale opens within $3 ms, and not within $4, of which some wish to know.
SELECT events.id AS event_id, sale_opens_at AS planned_for, coalesce(plan.last_id, '') AS last_id
FROM events LEFT JOIN reminder_plans AS plan
    ON plan.event_id = events.id AND plan.kind = $2 AND plan.planned_for = sale_opens_at
WHERE events.status = 'published'
  AND sale_opens_at > coalesce($1, now()) + $4 * interval '1 ms'
  AND sale_opens_at <= coalesce($1, now()) + $3 * interval '1 ms'
  AND NOT coalesce(plan.is_done, false)
  AND EXISTS (SELECT FROM sale_reminders WHERE sale_reminders.event_id = events.id)
ORDER BY sale_opens_at, events.id LIMIT 1;

-- sale_reminders_of --
SELECT user_id FROM sale_reminders WHERE event_id = $1 AND user_id > $2 ORDER BY user_id LIMIT $3;

-- note_planned --
INSERT INTO reminder_plans (event_id, kind, planned_for, last_id, is_done)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (event_id, kind, planned_for)
DO UPDATE SET last_id = excluded.last_id, is_done = excluded.is_done, changed_at = now();

-- bookings_with_tickets_for --
-- Of an event, those that may have tickets which a person has: their own, and others'.
SELECT id FROM bookings WHERE event_id = $1 AND user_id = $2 AND status = 'confirmed'
UNION
SELECT booking_id FROM tickets WHERE event_id = $1 AND holder_id = $2
LIMIT $3;
