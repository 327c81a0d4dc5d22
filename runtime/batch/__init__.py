"""A file of requests answered into a file of answers: resumable, nothing lost, nothing twice."""
