package link

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"
)

// BePunctual makes this process keep to a link's times although the machine is
// busy: to within about 0.1 ms instead of some milliseconds. It changes the
// whole process, for good, and the programs that it starts get the same
// real-time priority. So it is for main and TestMain of a process that does
// little but carry packets. After an error links work, only less exactly.
//
// Priority for the threads that move packets is not enough: after each wait a
// thread needs one of Go's processors (GOMAXPROCS), and these may all belong to
// threads that the kernel has put off. So all threads, and those that they
// start later, get priority, and there are more processors than busy threads.
func BePunctual() error {
	if runtime.GOMAXPROCS(0) < processors {
		runtime.GOMAXPROCS(processors)
	}
	done := make(map[string]bool)
	for { // until there are no threads that began meanwhile, and inherited nothing
		threads, err := os.ReadDir("/proc/self/task")
		if err != nil {
			return fmt.Errorf("link: list the own threads: %w", err)
		}
		before := len(done)
		for _, thread := range threads {
			if done[thread.Name()] {
				continue
			}
			if err := prioritize(thread.Name()); err != nil {
				return err
			}
			done[thread.Name()] = true
		}
		if len(done) == before {
			return nil
		}
	}
}

// prioritize schedules a thread before all ordinary ones.
func prioritize(thread string) error {
	id, err := strconv.Atoi(thread)
	if err != nil {
		return fmt.Errorf("link: thread %q: %w", thread, err)
	}
	attr := &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_RR, Priority: realTimePriority}
	err = unix.SchedSetAttr(id, attr, 0)
	if err != nil && !errors.Is(err, unix.ESRCH) { // it may have ended since
		return fmt.Errorf("link: give the own threads real-time priority (CAP_SYS_NICE is needed): %w", err)
	}
	return nil
}
