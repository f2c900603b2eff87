package follow

import (
	"errors"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// maxReason is how much of an error of the API server is repeated, in bytes.
const maxReason = 400

// Failure is why a request to the API server failed.
type Failure struct {
	Verb  string // list or watch
	Err   error
	Since time.Time
}

// next is the failure to be known after one more. Of those of one kind the first one stays: later ones may name another local port each.
func next(was, is *Failure) *Failure {
	switch {
	case was == nil:
	case was.Verb == is.Verb && apierrors.ReasonForError(was.Err) == apierrors.ReasonForError(is.Err):
		return was
	case was.Away() && is.Away():
		is.Since = was.Since
	}
	return is
}

// Away is true if the API server as such cannot be used, and not one kind only.
func (f *Failure) Away() bool {
	var status apierrors.APIStatus
	return !errors.As(f.Err, &status) || apierrors.IsUnauthorized(f.Err) || apierrors.IsServiceUnavailable(f.Err) ||
		apierrors.IsTooManyRequests(f.Err) || apierrors.IsTimeout(f.Err)
}

// Reason is the text of the error, cut.
func (f *Failure) Reason() string { return Reason(f.Err) }

// Reason is the text of an error of the API server, cut.
func Reason(err error) string {
	var status apierrors.APIStatus
	if errors.As(err, &status) && status.Status().Message != "" {
		return Clip(status.Status().Message)
	}
	return Clip(err.Error())
}

// Clip cuts a text that is repeated.
func Clip(text string) string {
	if len(text) > maxReason {
		return strings.ToValidUTF8(text[:maxReason], "") + "…"
	}
	return text
}
