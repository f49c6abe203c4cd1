"""The notifier: tells whoever wants to know how a job ended, by signed webhooks."""
