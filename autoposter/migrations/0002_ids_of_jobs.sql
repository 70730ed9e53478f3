-- Serves the foreign key as before, and now also the question whether another post of the account already has an id that
-- was found: a post may have lost its own copy of the id, its jobs never do.
drop index publish_job_channel_account;
create index publish_job_channel_account on publish_job (channel_account_id, platform_post_id);
