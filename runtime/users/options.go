package users

import "log/slog"

// Option is an option of [Open] and [OpenKeys].
type Option func(*settings)

type settings struct{ logger *slog.Logger }

func newSettings(options []Option) settings {
	s := settings{logger: slog.Default()}
	for _, option := range options {
		option(&s)
	}
	return s
}

// WithLogger sets where it is logged, as an error and once each time, that a file
// has changed into one that cannot be used. The default is slog.Default().
func WithLogger(logger *slog.Logger) Option {
	return func(s *settings) { s.logger = logger }
}
