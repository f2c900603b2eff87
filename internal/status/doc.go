// Package status is the vocabulary in which a proxy describes itself: its
// peers, links and lanes, the endpoints of a service, its listeners. The engine
// fills the values in, the admin listener serves them as JSON, and commands
// print them. They are plain data, so that a command needs nothing of the engine.
package status
