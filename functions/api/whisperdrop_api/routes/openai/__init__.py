"""OpenAI's audio API: the same jobs, waited for and rendered as its SDKs expect."""
