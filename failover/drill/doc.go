// Package drill lets a part of applications' real calls lose endpoints on purpose, or wait, for as long as an operator renews a lease. What
// such a call loses it never tries, so nothing is learned of the endpoint, and all other calls go on as before. A run
// that has ended leaves nothing behind; it needs no goroutine for that.
package drill
