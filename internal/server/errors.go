package server

import (
	"context"
	"errors"
	"net/http"

	"github.com/containerd/errdefs"
)

// classes is the one table from classes of errors to statuses.
var classes = []struct {
	is     func(error) bool
	status int
}{
	{errdefs.IsNotFound, http.StatusNotFound},
	{errdefs.IsInvalidArgument, http.StatusBadRequest},
	{errdefs.IsOutOfRange, http.StatusBadRequest},
	{errdefs.IsConflict, http.StatusConflict},
	{errdefs.IsAlreadyExists, http.StatusConflict},
	{errdefs.IsFailedPrecondition, http.StatusConflict},
	{errdefs.IsUnauthorized, http.StatusUnauthorized},
	{errdefs.IsPermissionDenied, http.StatusForbidden},
	{errdefs.IsNotImplemented, http.StatusNotImplemented},
	{errdefs.IsUnavailable, http.StatusServiceUnavailable},
	{errdefs.IsResourceExhausted, http.StatusTooManyRequests},
}

// status is the HTTP status of an error: 500 for one without a class.
func status(err error) int {
	for _, c := range classes {
		if c.is(err) {
			return c.status
		}
	}
	return http.StatusInternalServerError
}

// failure is the body of an error.
type failure struct {
	Message string `json:"message"`
}

func writeError(w http.ResponseWriter, err error) {
	if errors.Is(err, context.Canceled) {
		return // the client is gone
	}
	_ = writeJSON(w, status(err), failure{err.Error()})
}
