// Package admission decides which connections may prove who they are. It is fed with times and addresses, and knows neither sockets
// nor certificates.
package admission
