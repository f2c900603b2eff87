package kube

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// away is true if the API server as such cannot be used, and not one kind only.
func (f *failure) away() bool {
	var status apierrors.APIStatus
	return !errors.As(f.err, &status) || apierrors.IsUnauthorized(f.err) || apierrors.IsServiceUnavailable(f.err) ||
		apierrors.IsTooManyRequests(f.err) || apierrors.IsTimeout(f.err)
}

// problem describes what cannot be followed, and the remedy.
func (f *feed) problem() string {
	name := f.name
	if group := f.versions[0].Group; group != "" {
		name += "." + group
	}
	reason := reasonOf(f.failure.err)
	switch {
	case apierrors.IsForbidden(f.failure.err) && f.object != "":
		return fmt.Sprintf("Secret %s/%s: the API server does not allow to %s it: allow the entry's service account get, list and watch of "+
			"Secret %s in namespace %s (%s)", f.namespace, f.object, f.failure.verb, f.object, f.namespace, reason)
	case apierrors.IsForbidden(f.failure.err):
		where := "all namespaces"
		if f.namespace != "" {
			where = "namespace " + f.namespace
		}
		return fmt.Sprintf("%s: the API server does not allow to %s %s: allow the entry's service account get, list and watch of it in %s (%s)",
			f.kind, f.failure.verb, name, where, reason)
	case apierrors.IsNotFound(f.failure.err) && f.install != "":
		return fmt.Sprintf("%s: the API server does not know %s: %s; it will be noticed", f.kind, name, f.install)
	}
	return fmt.Sprintf("%s: the API server cannot %s %s, what is known stays in use: %s", f.kind, f.failure.verb, name, reason)
}

// absence describes an API server that cannot be used.
func (f *failure) absence() string {
	if apierrors.IsUnauthorized(f.err) {
		return fmt.Sprintf("Kubernetes API: the API server does not accept the credentials of this process, what is known stays in use: "+
			"check its service account or kubeconfig (%s)", reasonOf(f.err))
	}
	return fmt.Sprintf("Kubernetes API: the API server cannot be reached since %s, what is known stays in use: check the network and the "+
		"address in the kubeconfig (%s)", f.since.UTC().Format(time.RFC3339), reasonOf(f.err))
}

// problems of feeds, sorted. An API server that is away is one problem.
func problems(feeds []*feed) []string {
	var out []string
	var away *failure
	for _, f := range feeds {
		for key, reason := range f.broken {
			out = append(out, fmt.Sprintf("%s %s: it does not have the form of its kind, the last one that had stays in use: correct it (%s)",
				f.kind, key, reason))
		}
		switch {
		case f.failure == nil:
		case !f.failure.away():
			out = append(out, f.problem())
		case away == nil || f.failure.since.Before(away.since):
			away = f.failure
		}
	}
	if away != nil {
		out = append(out, away.absence())
	}
	slices.Sort(out)
	out = slices.Compact(out) // feeds of one namespace may lack the same right
	if more := len(out) - maxProblems; more > 0 {
		out = append(out[:maxProblems], fmt.Sprintf("and %d more problems", more))
	}
	return out
}

// reasonOf is the text of an error, cut.
func reasonOf(err error) string {
	var status apierrors.APIStatus
	if errors.As(err, &status) && status.Status().Message != "" {
		return clipped(status.Status().Message)
	}
	return clipped(err.Error())
}

func clipped(text string) string {
	if len(text) > maxReason {
		return strings.ToValidUTF8(text[:maxReason], "") + "…"
	}
	return text
}
