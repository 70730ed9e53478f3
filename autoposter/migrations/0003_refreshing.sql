-- When an account's credentials are to be refreshed, how often that failed, and when somebody was warned that they expire.

alter table channel_account
    add column refresh_at       timestamptz check (isfinite(refresh_at)),
    add column refresh_failures integer not null default 0,
    add column expiry_warned_at timestamptz;

-- The chores of each minute read only these.
create index channel_account_refresh on channel_account (refresh_at) where status = 'active' and refresh_at is not null;
create index channel_account_expiry on channel_account (credentials_expire_at) where status = 'active';
