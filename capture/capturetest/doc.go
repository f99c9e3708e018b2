// Package capturetest is the suite that every capture method passes: scenes
// built from small verbs, performed by a command that is captured. The truth
// comes from performing the same scene natively in another copy of a root and
// having outside tools look at it before and after.
package capturetest
