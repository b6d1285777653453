//! Host and path table to rule; lookup and explanation share one walk.
