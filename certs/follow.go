package certs

import (
	"context"
	"io"
	"sync/atomic"
	"time"

	"github.com/fsnotify/fsnotify"
	"go.uber.org/zap"

	"github.com/eastway/eastway/internal/notify"
)

const (
	// settle is how long a change rests before it is read, so that files which
	// are written one after the other are seen together.
	settle = 100 * time.Millisecond
	// rereadEvery is the backstop for changes without an event: network file
	// systems, a directory that was replaced whole.
	rereadEvery = 30 * time.Second
)

// followDir calls read when files of the directory may have changed, and when again says so, until ctx ends. Where changes cannot be
// watched it does so every 30 seconds.
func followDir(ctx context.Context, dir string, again notify.Signal, log *zap.Logger, read func()) {
	w := watch(dir, log)
	defer func() { w.close() }()
	read() // what changed before the watch began
	poll := time.NewTicker(rereadEvery)
	defer poll.Stop()
	var settled <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.events:
			// Not moved by further events: files that never rest are read all the same.
			if settled == nil {
				settled = time.After(settle)
			}
		case err := <-w.errors:
			log.Debug("watching the certificate files failed, they are read from time to time", zap.Error(err))
		case <-settled:
			settled = nil
			read()
		case <-again:
			read()
		case <-poll.C:
			w.close()
			w = watch(dir, log) // the directory may be another one by now
			read()
		}
	}
}

// watcher of a directory; its zero value never reports a change.
type watcher struct {
	events <-chan fsnotify.Event
	errors <-chan error
	closer io.Closer
}

func (w watcher) close() {
	if w.closer != nil {
		w.closer.Close()
	}
}

// watch watches the directory, not the files: Kubernetes swaps a symbolic link beside them,
// others rename new files over them.
func watch(dir string, log *zap.Logger) watcher {
	w, err := fsnotify.NewWatcher()
	if err == nil {
		if err = w.Add(dir); err == nil {
			return watcher{events: w.Events, errors: w.Errors, closer: w}
		}
		w.Close()
	}
	log.Debug("certificate files cannot be watched, they are read from time to time", zap.String("dir", dir), zap.Error(err))
	return watcher{}
}

// problem is what is wrong with the files now; "" is nothing. One goroutine sets it, any may read it.
type problem struct{ text atomic.Pointer[string] }

// set returns whether that is news.
func (p *problem) set(text string) bool {
	old := p.text.Swap(&text)
	return old == nil && text != "" || old != nil && *old != text
}

func (p *problem) get() string {
	if text := p.text.Load(); text != nil {
		return *text
	}
	return ""
}
