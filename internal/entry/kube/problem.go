package kube

import (
	"fmt"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/eastway/eastway/internal/follow"
)

// problem describes what cannot be followed, and the remedy.
func (f *feed) problem(why *follow.Failure) string {
	name := f.name
	if group := f.versions[0].Group; group != "" {
		name += "." + group
	}
	reason := why.Reason()
	switch {
	case apierrors.IsForbidden(why.Err) && f.object != "":
		return fmt.Sprintf("%s %s/%s: the API server does not allow to %s it: allow the entry's service account get, list and watch of "+
			"%s %s in namespace %s (%s)", f.kind, f.namespace, f.object, why.Verb, f.kind, f.object, f.namespace, reason)
	case apierrors.IsForbidden(why.Err):
		where := "all namespaces"
		if f.namespace != "" {
			where = "namespace " + f.namespace
		}
		return fmt.Sprintf("%s: the API server does not allow to %s %s: allow the entry's service account get, list and watch of it in %s (%s)",
			f.kind, why.Verb, name, where, reason)
	case apierrors.IsNotFound(why.Err) && f.install != "":
		return fmt.Sprintf("%s: the API server does not know %s: %s; it will be noticed", f.kind, name, f.install)
	}
	return fmt.Sprintf("%s: the API server cannot %s %s, what is known stays in use: %s", f.kind, why.Verb, name, reason)
}

// absence describes an API server that cannot be used.
func absence(f *follow.Failure) string {
	if apierrors.IsUnauthorized(f.Err) {
		return fmt.Sprintf("Kubernetes API: the API server does not accept the credentials of this process, what is known stays in use: "+
			"check its service account or kubeconfig (%s)", f.Reason())
	}
	return fmt.Sprintf("Kubernetes API: the API server cannot be reached since %s, what is known stays in use: check the network and the "+
		"address in the kubeconfig (%s)", f.Since.UTC().Format(time.RFC3339), f.Reason())
}

// problems of feeds, sorted. An API server that is away is one problem.
func problems(feeds []*feed) []string {
	var out []string
	var away *follow.Failure
	for _, f := range feeds {
		for key, reason := range f.broken {
			out = append(out, fmt.Sprintf("%s %s: it does not have the form of its kind, the last one that had stays in use: correct it (%s)",
				f.kind, key, reason))
		}
		switch why := f.Failure(); {
		case why == nil:
		case !why.Away():
			out = append(out, f.problem(why))
		case away == nil || why.Since.Before(away.Since):
			away = why
		}
	}
	if away != nil {
		out = append(out, absence(away))
	}
	slices.Sort(out)
	out = slices.Compact(out) // feeds of one namespace may lack the same right
	if more := len(out) - maxProblems; more > 0 {
		out = append(out[:maxProblems], fmt.Sprintf("and %d more problems", more))
	}
	return out
}
