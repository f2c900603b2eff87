// Package dns is `eastway dns`: it wires the reader of manifests, the watcher and the server below it, and prints what `eastway dns explain`
// shows.
package dns
