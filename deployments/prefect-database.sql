CREATE DATABASE prefect OWNER swapbed;
