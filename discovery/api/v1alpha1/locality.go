package v1alpha1

import (
	"errors"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
)

// LocalityPattern is a locality as distribute names it. An empty field matches everything.
type LocalityPattern struct{ Region, Zone string }

// String is the pattern in its shortest form.
func (p LocalityPattern) String() string {
	switch {
	case p.Region == "":
		return "*"
	case p.Zone == "":
		return p.Region + "/*"
	default:
		return p.Region + "/" + p.Zone + "/*"
	}
}

// Matches is true for a place that the pattern covers.
func (p LocalityPattern) Matches(region, zone string) bool {
	return (p.Region == "" || p.Region == region) && (p.Zone == "" || p.Zone == zone)
}

// overlaps is true when a place can match both.
func (p LocalityPattern) overlaps(o LocalityPattern) bool {
	return p.Matches(o.Region, o.Zone) || o.Matches(p.Region, p.Zone)
}

// ParseLocality reads REGION, REGION/*, REGION/ZONE, REGION/ZONE/* or *.
func ParseLocality(s string) (LocalityPattern, error) {
	parts := strings.Split(s, "/")
	wild := parts[len(parts)-1] == "*"
	if wild {
		parts = parts[:len(parts)-1]
	}
	var p LocalityPattern
	switch {
	case s == "":
		return p, errors.New("must be a locality, such as cn-shanghai/* or cn-shanghai/cn-shanghai-g/*")
	case len(parts) > 2:
		return p, errors.New("must be REGION/ZONE at most: sub-zones are not known here")
	}
	for i, name := range parts {
		if strings.Contains(name, "*") {
			return p, errors.New("* stands for all that follows, at the end only")
		}
		if name == "" {
			return p, errors.New("must be REGION, REGION/*, REGION/ZONE, REGION/ZONE/* or *, with no part empty")
		}
		if msgs := validation.IsValidLabelValue(name); len(msgs) > 0 {
			return p, errors.New(msgs[0])
		}
		if i == 0 {
			p.Region = name
		} else {
			p.Zone = name
		}
	}
	return p, nil
}
