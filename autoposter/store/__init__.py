"""All SQL.  Each move is one guarded statement, or one short transaction, that tells whether it won."""

#: A post (`p`) that may be published once its time has come.
DUE = "p.status = 'Scheduled' and p.autopost_enabled and p.content_item_id is not null"

#: A post (`p`) that is not yet too late; `max_lateness` null: none ever is.
NOT_TOO_LATE = "(%(max_lateness)s::interval is null or p.scheduled_for > now() - %(max_lateness)s::interval)"
