//! Counters, gauges, histograms and their exposition.
