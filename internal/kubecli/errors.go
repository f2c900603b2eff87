package kubecli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"syscall"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Errors that commands decide on.
var (
	// ErrNoConfig: there is no kubeconfig.
	ErrNoConfig = errors.New("no kubeconfig")
	// ErrUnknownContext: the kubeconfig has no context of that name.
	ErrUnknownContext = errors.New("unknown context")
	// ErrUnreachable: no answer from the API server, or from a pod through it.
	ErrUnreachable = errors.New("cannot be reached")
	// ErrForbidden: these credentials may not do that.
	ErrForbidden = errors.New("not permitted")
	// ErrNotFound: the requested object does not exist.
	ErrNotFound = errors.New("not found")
	// ErrNoNamespace: its namespace does not exist either. It is also an ErrNotFound.
	ErrNoNamespace = fmt.Errorf("%w", ErrNotFound)
	// ErrNoKind: the cluster lacks a CRD.
	ErrNoKind = errors.New("the CRD is missing")
	// ErrNotInstalled: Eastway is not in that namespace.
	ErrNotInstalled = errors.New("there is no installation of Eastway")
	// ErrNoProxy: no proxy is ready.
	ErrNoProxy = errors.New("no proxy is ready")
)

// explain turns an error of the API server into one for people.
func (c *Cluster) explain(attempt string, err error) error {
	status, answered := errors.AsType[*apierrors.StatusError](err)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, context.Canceled):
		return fmt.Errorf("%s: %w", attempt, context.Canceled)
	case apierrors.IsUnauthorized(err):
		return fmt.Errorf("%s: %w: %s does not accept these credentials: log in again, or choose another --context", attempt, ErrForbidden, c.Server)
	case apierrors.IsForbidden(err):
		return fmt.Errorf("%s: %w: %s", attempt, ErrForbidden, oneLine(status.ErrStatus.Message))
	case noKind(err):
		return fmt.Errorf("%s: %w in %s: install Eastway there; its chart brings the CRDs", attempt, ErrNoKind, c)
	case notFound(err):
		return fmt.Errorf("%s: %w: %s", attempt, ErrNotFound, oneLine(status.ErrStatus.Message))
	case answered:
		return fmt.Errorf("%s: %s", attempt, oneLine(status.ErrStatus.Message))
	default:
		return fmt.Errorf("%s: the API server %s %w: %w", attempt, c.Server, ErrUnreachable, innermost(err))
	}
}

// noKind distinguishes a path that the API server does not serve from an object that does not exist.
func noKind(err error) bool {
	status, ok := errors.AsType[*apierrors.StatusError](err)
	if !ok || status.ErrStatus.Reason != metav1.StatusReasonNotFound {
		return false
	}
	details := status.ErrStatus.Details
	return details == nil || details.Name == "" || apierrors.HasStatusCause(err, metav1.CauseTypeUnexpectedServerResponse)
}

// notFound distinguishes an object that does not exist from a kind that does not.
func notFound(err error) bool { return apierrors.IsNotFound(err) && !noKind(err) }

// innermost leaves "connection refused" of what net/http wraps around it.
func innermost(err error) error {
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		return errno
	}
	if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
		return errors.New("no answer in time")
	}
	if outer, ok := errors.AsType[*url.Error](err); ok {
		return outer.Err
	}
	return err
}
