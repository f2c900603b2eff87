// Package vitals judges a link by its silence, and times the pings that it is heard by. It is fed with times, so that it can be tested
// without waiting, and knows neither sockets nor peers.
package vitals
