package kube

import (
	"fmt"
	"time"

	"go.uber.org/zap"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/eastway/eastway/internal/follow"
)

// Errors are the problems as they are now, by kind and name: of objects, of kinds that cannot be read, of the API server.
func (s *Source) Errors() []Problem {
	problems := s.unreachable()
	s.mu.Lock()
	for _, t := range s.tables {
		for _, found := range t.problems {
			if s.world.relevantProblem(t.kind, found.about) {
				problems = append(problems, found.problems...)
			}
		}
	}
	problems = append(problems, s.world.found()...)
	problems = append(problems, s.keeper.problems()...)
	s.mu.Unlock()
	return sorted(problems)
}

// unreachable are the kinds that cannot be followed at present. If it is the API server that cannot be reached, that is one problem.
func (s *Source) unreachable() []Problem {
	var problems []Problem
	for _, f := range s.feeds {
		if fl := f.failing(); fl != nil && !fl.Away() {
			problems = append(problems, f.problem(fl))
		}
	}
	if away := s.away(); away != nil {
		problems = append(problems, absence(away))
	}
	return problems
}

// away is the oldest failure that is about the API server as such; nil if there is none.
func (s *Source) away() (oldest *follow.Failure) {
	for _, f := range s.feeds {
		if fl := f.failing(); fl != nil && fl.Away() && (oldest == nil || fl.Since.Before(oldest.Since)) {
			oldest = fl
		}
	}
	return oldest
}

// awaySince returns since when the API server cannot be reached; zero if it can.
func (s *Source) awaySince() time.Time {
	if away := s.away(); away != nil {
		return away.Since
	}
	return time.Time{}
}

// problem describes a kind that cannot be listed or watched, and the remedy.
func (f *feed) problem(fl *follow.Failure) Problem {
	p := Problem{Kind: f.kind}
	resource := f.name
	if group := f.versions[0].Group; group != "" {
		resource += "." + group
	}
	switch {
	case apierrors.IsForbidden(fl.Err):
		p.Message = fmt.Sprintf("the API server does not allow to %s %s: allow the proxy's service account to list and watch it in all "+
			"namespaces, as the chart's ClusterRole does (%s)", fl.Verb, resource, fl.Reason())
	case apierrors.IsNotFound(fl.Err):
		p.Message = fmt.Sprintf("the API server does not know %s: install the CustomResourceDefinitions that come with the chart; "+
			"it will be noticed", resource)
	default:
		p.Message = fmt.Sprintf("the API server cannot %s %s, what is known stays in use: %s", fl.Verb, resource, fl.Reason())
	}
	return p
}

// absence describes an API server that is away, or does not know us.
func absence(fl *follow.Failure) Problem {
	if apierrors.IsUnauthorized(fl.Err) {
		return Problem{Message: fmt.Sprintf("the API server does not accept the credentials of this process, what is known stays in use: "+
			"check its service account or kubeconfig (%s)", fl.Reason())}
	}
	return Problem{Message: fmt.Sprintf("the API server cannot be reached since %s, what is known stays in use: %s",
		fl.Since.UTC().Format(time.RFC3339), fl.Reason())}
}

// whyNot adds to err why the kind is not known, if that is why.
func (s *Source) whyNot(kind string, err error) error {
	for _, p := range s.unreachable() {
		if p.Kind == kind || p.Kind == "" {
			return fmt.Errorf("%w: %s", err, p)
		}
	}
	return err
}

// report logs what is new among the problems, and counts.
func (s *Source) report() {
	problems := s.Errors()
	now := make(map[Problem]bool, len(problems))
	count := 0
	for _, p := range problems {
		if !p.Warning {
			count++
		}
		same := p
		if p.Name == "" {
			same.Message = "" // it may name another local port each time
		}
		if now[same] = true; s.logged[same] {
			continue
		}
		fields := []zap.Field{
			zap.String("kind", p.Kind), zap.String("namespace", p.Namespace), zap.String("name", p.Name),
			zap.String("field", p.Field), zap.String("reason", p.Message),
		}
		switch {
		case p.Warning:
			s.log.Warn("Kubernetes object is doubtful", fields...)
		case p.Name == "":
			s.log.Error("Kubernetes objects cannot be followed", fields...)
		default:
			s.log.Error("Kubernetes object is not used as it stands", fields...)
		}
	}
	if len(s.logged) > 0 && len(now) == 0 {
		s.log.Info("Kubernetes objects are in order again")
	}
	s.logged = now
	s.metrics.problems.Set(float64(count))
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.tables {
		synced := 0.0
		if t.synced {
			synced = 1
		}
		s.metrics.synced.WithLabelValues(t.name).Set(synced)
		s.metrics.objects.WithLabelValues(t.name).Set(float64(len(t.objects)))
	}
}
