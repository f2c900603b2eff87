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
// busy: to within about 0.2 ms instead of some milliseconds. It changes the
// whole process, for good, and is therefore left to main and TestMain.
//
// Priority for the threads that move packets is not enough: after each wait a
// thread needs one of Go's processors (GOMAXPROCS), and these may all belong to
// threads that the kernel has put off. So all threads, and the threads and programs that they
// start, get the same priority, and there are more processors than busy threads.
func BePunctual() error {
	if runtime.GOMAXPROCS(0) < processors {
		runtime.GOMAXPROCS(processors)
	}
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return fmt.Errorf("link: list the own threads: %w", err)
	}
	for _, thread := range threads {
		id, err := strconv.Atoi(thread.Name())
		if err != nil {
			return fmt.Errorf("link: thread %q: %w", thread.Name(), err)
		}
		// A thread may have ended since.
		if err := unix.Setpriority(unix.PRIO_PROCESS, id, priority); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("link: raise the priority (root is needed): %w", err)
		}
	}
	return nil
}
