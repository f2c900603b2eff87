package controller

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.uber.org/zap"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/discovery"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/internal/pace"
)

// groups is the part of a discovery client that is needed.
type groups interface {
	ServerResourcesForGroupVersion(groupVersion string) (*metav1.APIResourceList, error)
}

var _ groups = (*discovery.DiscoveryClient)(nil)

// await waits until the API server can be reached and has the CRDs. It logs what is missing, once per change. It returns false if
// ctx ends first.
func await(ctx context.Context, server groups, ready *readiness, log *zap.Logger) bool {
	logged := ""
	for failures := 1; ; failures++ {
		missing := missing(server)
		if missing == nil {
			ready.wait("reading the objects from the API server")
			return true
		}
		if what := missing.Error(); what != logged {
			logged = what
			ready.wait(what)
			log.Warn("waiting for the API server", zap.String("for", what))
		}
		if !pace.Sleep(ctx, pace.Backoff(failures, waitMin, waitMax)) {
			return false
		}
	}
}

// missing returns what the API server lacks; nil: nothing.
func missing(server groups) error {
	var lacking []string
	for groupVersion, resources := range map[string][]string{
		mcsv1beta1.GroupVersion.String(): {"serviceexports", "serviceimports"},
		v1alpha1.GroupVersion:            {"peers", "trafficpolicies", "externalservices"},
	} {
		list, err := server.ServerResourcesForGroupVersion(groupVersion)
		switch {
		case apierrors.IsNotFound(err):
			list = &metav1.APIResourceList{}
		case apierrors.IsForbidden(err), apierrors.IsUnauthorized(err):
			return fmt.Errorf("the API server refuses this account: %w: is the chart installed whole?", err)
		case err != nil:
			return fmt.Errorf("the API server cannot be reached: %w", err)
		}
		group, version, _ := strings.Cut(groupVersion, "/")
		for _, name := range resources {
			if !slices.ContainsFunc(list.APIResources, func(r metav1.APIResource) bool { return r.Name == name }) {
				lacking = append(lacking, fmt.Sprintf("%s.%s (%s)", name, group, version))
			}
		}
	}
	if len(lacking) == 0 {
		return nil
	}
	slices.Sort(lacking)
	return errors.New("CRDs are missing: " + strings.Join(lacking, ", ") + ": kubectl apply -f the chart's crds folder")
}
