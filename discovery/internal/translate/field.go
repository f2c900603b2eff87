package translate

import (
	"errors"
	"fmt"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

// InvalidField is a field.Error of a value whose content is better not repeated, or not worth it.
func InvalidField(path *field.Path, format string, args ...any) *field.Error {
	return &field.Error{
		Type: field.ErrorTypeForbidden, Field: path.String(), BadValue: field.OmitValueType{},
		Detail: fmt.Sprintf(format, args...),
	}
}

// FieldOf splits an error into the field that it names and the rest.
func FieldOf(err error) (path, message string) {
	var fe *field.Error
	if !errors.As(err, &fe) {
		return "", err.Error()
	}
	if fe.Type == field.ErrorTypeForbidden {
		return fe.Field, fe.Detail
	}
	return fe.Field, fe.ErrorBody()
}
