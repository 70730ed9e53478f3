"""A loop of one process that looks each minute."""

from __future__ import annotations

import time

import psycopg2

from peers import work

connection = psycopg2.connect(work.DATABASE)
connection.autocommit = True
print("loops", flush=True)
while True:
    time.sleep(60 - time.time() % 60)
    with connection.cursor() as cursor:
        cursor.execute(
            "select id from post_instance where status = 'Scheduled' and autopost_enabled and due_at <= now()"
            " order by due_at"
        )
        for (post_id,) in cursor.fetchall():
            work.publish(post_id)
