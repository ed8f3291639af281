"""Cards of named encoders: what each is, how it is opened, and its pinned weights."""
