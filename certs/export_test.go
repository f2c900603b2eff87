package certs

// Reload has the files read again now.
func Reload(s *FileSource) { s.reload() }
