"""Statecharts: what a machine's file says, looked over and compiled. Pure: no store."""
