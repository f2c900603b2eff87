// Package bubble lets time pass in tests: that of a testing/synctest bubble, never real time.
package bubble

import (
	"testing/synctest"
	"time"
)

// Pass lets that much of the bubble's time pass, and everything happen that it sets off. Outside a bubble it panics at once,
// so that no test can wait in real time: there, wait for the event itself. One goroutine of a bubble may call it at a time.
func Pass(d time.Duration) {
	synctest.Wait()
	<-time.After(d)
	synctest.Wait()
}
