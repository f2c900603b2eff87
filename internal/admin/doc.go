// Package admin is the proxy's listener for its operators: health and
// readiness, metrics, pprof, and the JSON behind `eastway status`,
// `eastway endpoints` and `eastway explain`, together with the client of that JSON.
//
// It only reads; nothing about a proxy can be changed through it. Everybody on
// the machine can connect, so by default it binds to loopback addresses only
// and refuses requests that a web page made a browser send (DNS rebinding).
//
// Which services a proxy listens for is also what node agents need, from other
// machines: ListenAgents is for them, and lets no other client in.
//
// Processes that are no proxy, such as the DNS server, add paths of their own.
package admin
