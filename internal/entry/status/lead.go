package status

import (
	"context"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"go.uber.org/zap"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/klog/v2"
)

// Times of the Lease, those of Kubernetes' own controllers: another entry writes 15 s after one that writes was lost. One that cannot renew
// stops after 10 s, before another begins.
const (
	leaseDuration = 15 * time.Second
	renewDeadline = 10 * time.Second
	retryPeriod   = 2 * time.Second
)

// lead runs work while this entry has the Lease, until ctx ends. The context of work ends when the Lease is lost, and work has ended before it
// begins again.
func (w *Writer) lead(ctx context.Context, work func(context.Context)) {
	ctx = klog.NewContext(ctx, logr.Discard()) // what is wrong with the Lease is in Problems
	lock := &watched{w: w, Interface: &resourcelock.LeaseLock{
		LeaseMeta: metav1.ObjectMeta{Namespace: w.cfg.Lease.Namespace, Name: w.cfg.Lease.Name}, Client: w.leases,
		LockConfig: resourcelock.ResourceLockConfig{Identity: w.cfg.Identity},
	}}
	for ctx.Err() == nil {
		var working sync.WaitGroup
		begun := make(chan struct{})
		e, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
			Lock: lock, LeaseDuration: leaseDuration, RenewDeadline: renewDeadline, RetryPeriod: retryPeriod,
			Name: w.cfg.Lease.Name,
			Callbacks: leaderelection.LeaderCallbacks{
				OnStartedLeading: func(ctx context.Context) {
					defer close(begun)
					working.Go(func() { work(ctx) })
				},
				OnStoppedLeading: func() {},
			},
		})
		if err != nil {
			w.log.Error("Lease cannot be used", zap.Error(err)) // not reached: the configuration is constant
			return
		}
		e.Run(ctx)
		if !lock.led {
			continue
		}
		lock.led = false
		<-begun
		working.Wait()
		if ctx.Err() != nil {
			lock.release(context.WithoutCancel(ctx))
		}
	}
}

// watched is a lock that notes whether it was had, and what is wrong with it. One goroutine uses it.
type watched struct {
	resourcelock.Interface

	w   *Writer
	led bool
}

// RecordEvent is called when this entry becomes the one that writes.
func (l *watched) RecordEvent(event string) { l.led = l.led || event == "became leader" }

// Get implements resourcelock.Interface.
func (l *watched) Get(ctx context.Context) (*resourcelock.LeaderElectionRecord, []byte, error) {
	record, raw, err := l.Interface.Get(ctx)
	if apierrors.IsNotFound(err) {
		l.note(ctx, "read", nil)
	} else {
		l.note(ctx, "read", err)
	}
	return record, raw, err
}

// Create implements resourcelock.Interface.
func (l *watched) Create(ctx context.Context, record resourcelock.LeaderElectionRecord) error {
	err := l.Interface.Create(ctx, record)
	if !apierrors.IsAlreadyExists(err) {
		l.note(ctx, "create", err)
	}
	return err
}

// Update implements resourcelock.Interface.
func (l *watched) Update(ctx context.Context, record resourcelock.LeaderElectionRecord) error {
	err := l.Interface.Update(ctx, record)
	if !apierrors.IsConflict(err) { // another entry was first
		l.note(ctx, "update", err)
	}
	return err
}

func (l *watched) note(ctx context.Context, verb string, err error) {
	if ctx.Err() != nil {
		return
	}
	problem := ""
	if err != nil {
		problem = leaseProblem(l.w.cfg.Lease, verb, err)
	}
	l.w.mu.Lock()
	was := l.w.lease
	l.w.lease = problem
	l.w.mu.Unlock()
	if problem != "" && was == "" {
		l.w.log.Error("status is not written", zap.String("reason", problem))
	}
}

// release lets another entry write at once.
func (l *watched) release(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	record, _, err := l.Interface.Get(ctx)
	if err != nil || record.HolderIdentity != l.Identity() {
		return // it is taken over when it has expired
	}
	record.HolderIdentity, record.LeaseDurationSeconds = "", 1
	_ = l.Interface.Update(ctx, *record)
}
